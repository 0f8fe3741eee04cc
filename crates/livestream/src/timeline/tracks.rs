//! Which renditions of a newer version's timeline this one understands.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Track;

/// Those that carry pictures or sound. What is wrong with one of these is still an error.
pub(super) fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Track>, D::Error> {
    let all = Vec::<Value>::deserialize(from)?;
    let known = all.into_iter().filter(|track| {
        let kind = track.get("media").and_then(|media| media.get("kind")).and_then(Value::as_str);
        kind.is_none_or(|kind| KINDS.contains(&kind))
    });
    known.map(|track| serde_json::from_value(track).map_err(D::Error::custom)).collect()
}

/// [`super::TrackMedia`]'s.
const KINDS: [&str; 2] = ["video", "audio"];

#[cfg(test)]
mod tests {
    use super::super::{TrackMedia, VideoRange};
    use super::*;

    #[test]
    fn every_kind_of_media_that_this_version_writes_it_also_reads() {
        let video =
            TrackMedia::Video { width: 640, height: 360, frame_rate_milli: 25_000, range: VideoRange::Sdr };
        let audio = TrackMedia::Audio { sample_rate: 48_000, channels: 2 };
        let mut written = Vec::new();
        for media in [video, audio] {
            match media {
                // Whoever adds a variant adds it to the list above too.
                TrackMedia::Video { .. } | TrackMedia::Audio { .. } => {}
            }
            let json = serde_json::to_value(&media).unwrap();
            written.push(json["kind"].as_str().unwrap().to_owned());
        }
        assert_eq!(written, KINDS);
    }
}
