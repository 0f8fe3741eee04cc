//! What a track carries, as it is read.

use serde::Deserialize;
use thiserror::Error;

use super::{TrackMedia, VideoRange};

/// The fields of every kind. What is derived for an enum that is tagged inside would first keep all that stands there, whatever
/// it is, in up to sixteen times its size.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields {
    kind: String,
    width: Option<u32>,
    height: Option<u32>,
    frame_rate_milli: Option<u32>,
    #[serde(default)]
    range: VideoRange,
    sample_rate: Option<u32>,
    channels: Option<u8>,
}

/// Why these fields are nothing that a track carries.
#[derive(Debug, Error)]
pub(super) enum NoMedia {
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("unknown kind")]
    Kind,
}

impl TryFrom<Fields> for TrackMedia {
    type Error = NoMedia;

    fn try_from(fields: Fields) -> Result<Self, NoMedia> {
        match fields.kind.as_str() {
            "video" => Ok(Self::Video {
                width: fields.width.ok_or(NoMedia::Missing("width"))?,
                height: fields.height.ok_or(NoMedia::Missing("height"))?,
                frame_rate_milli: fields.frame_rate_milli.ok_or(NoMedia::Missing("frameRateMilli"))?,
                range: fields.range,
            }),
            "audio" => Ok(Self::Audio {
                sample_rate: fields.sample_rate.ok_or(NoMedia::Missing("sampleRate"))?,
                channels: fields.channels.ok_or(NoMedia::Missing("channels"))?,
            }),
            _ => Err(NoMedia::Kind),
        }
    }
}
