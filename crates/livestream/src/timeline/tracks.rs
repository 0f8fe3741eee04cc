//! Which renditions of a newer version's timeline this one understands.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Track;
use super::bounded_list::bounded;
use super::plausible::MAX_TRACKS;

/// Those that carry pictures or sound. What is wrong with one of these is still an error. Whatever else stands in the list is
/// read past as text: as values it would take forty times its size.
pub(super) fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Track>, D::Error> {
    bounded(from, MAX_TRACKS, |track: Box<RawValue>| {
        let of = serde_json::from_str::<Of>(track.get());
        if of.is_ok_and(|of| !KINDS.contains(&of.media.kind.as_str())) {
            return Ok(None);
        }
        serde_json::from_str::<Track>(track.get()).map(Some)
    })
}

/// As much of a track as says whether it is known.
#[derive(Deserialize)]
struct Of {
    media: Kind,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
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
