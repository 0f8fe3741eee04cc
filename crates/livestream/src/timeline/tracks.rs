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
