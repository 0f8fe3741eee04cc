//! `onMetaData`: what an encoder says about its stream.

use std::fmt;

use bytes::{BufMut, Bytes};
use rml_amf0::Amf0Value;

use crate::amf;

/// An encoder's `onMetaData`. All of it may be missing, and none of it has to be true.
#[derive(Clone, Default, PartialEq)]
pub struct Metadata {
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Kilobits per second.
    pub video_data_rate: Option<f64>,
    /// Kilobits per second.
    pub audio_data_rate: Option<f64>,
    /// Hertz.
    pub audio_sample_rate: Option<f64>,
    /// Channels.
    pub audio_channels: Option<u32>,
    /// `stereo`.
    pub stereo: Option<bool>,
    /// Whether a video codec is named, so that video is to be expected.
    pub has_video: bool,
    /// Whether an audio codec is named.
    pub has_audio: bool,
    /// The program that encodes.
    pub encoder: Option<String>,
    /// The AMF0 from the string `onMetaData` on: checked, and what a relay passes on.
    pub raw: Bytes,
}

/// Without its texts: any of them may be a key that somebody pasted into the wrong field.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("frame_rate", &self.frame_rate)
            .field("bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}

impl Metadata {
    /// Reads the payload of a data message; `None` if it is some other data, or hostile.
    pub fn read(payload: &Bytes) -> Option<Self> {
        // AMF3 data messages carry AMF0 behind a format byte. A name begins with marker 2, so that a
        // leading zero cannot be anything else.
        let payload = match payload.first() {
            Some(0) => payload.slice(1..),
            _ => payload.clone(),
        };
        let decoded = amf::decode(&payload);
        if decoded.error.is_some_and(amf::AmfError::is_hostile) {
            return None;
        }
        let mut values = decoded.values.as_slice();
        let mut skipped = 0;
        if let [Amf0Value::Utf8String(name), rest @ ..] = values
            && name == SET_DATA_FRAME
        {
            values = rest;
            skipped = 3 + SET_DATA_FRAME.len();
        }
        let [Amf0Value::Utf8String(name), rest @ ..] = values else { return None };
        if name != ON_META_DATA {
            return None;
        }
        let properties =
            rest.iter().find(|value| matches!(value, Amf0Value::Object(_))).unwrap_or(&Amf0Value::Null);
        let raw = if decoded.error.is_none() && payload.first() == Some(&SHORT_STRING) {
            payload.slice(skipped.min(payload.len())..)
        } else {
            encode(properties)?
        };
        Some(Self::from_properties(properties, raw))
    }

    fn from_properties(properties: &Amf0Value, raw: Bytes) -> Self {
        let property = |name| amf::property(properties, name);
        let positive =
            |name| property(name).and_then(amf::number).filter(|number| number.is_finite() && *number > 0.0);
        Self {
            width: positive("width").and_then(whole),
            height: positive("height").and_then(whole),
            frame_rate: positive("framerate").or_else(|| positive("fps")),
            video_data_rate: positive("videodatarate"),
            audio_data_rate: positive("audiodatarate"),
            audio_sample_rate: positive("audiosamplerate"),
            audio_channels: positive("audiochannels").and_then(whole),
            stereo: match property("stereo") {
                Some(Amf0Value::Boolean(stereo)) => Some(*stereo),
                _ => None,
            },
            has_video: property("videocodecid").is_some_and(names_a_codec),
            has_audio: property("audiocodecid").is_some_and(names_a_codec),
            encoder: property("encoder")
                .and_then(amf::text)
                .map(|text| text.chars().take(MAX_ENCODER_NAME).collect()),
            raw,
        }
    }
}

/// `onMetaData` anew, from what could be read of one that is cut off: what a relay passes on has to be
/// whole. Nested values are left out, names sorted, so that the same input gives the same bytes.
fn encode(properties: &Amf0Value) -> Option<Bytes> {
    let mut bytes = rml_amf0::serialize(&vec![Amf0Value::Utf8String(ON_META_DATA.to_owned())]).ok()?;
    bytes.put_u8(OBJECT);
    if let Amf0Value::Object(properties) = properties {
        let mut properties: Vec<_> = properties.iter().collect();
        properties.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in properties {
            if !matches!(value, Amf0Value::Object(_) | Amf0Value::StrictArray(_)) {
                bytes.put_u16(u16::try_from(name.len()).ok()?);
                bytes.put_slice(name.as_bytes());
                bytes.put_slice(&rml_amf0::serialize(&vec![value.clone()]).ok()?);
            }
        }
    }
    bytes.put_slice(&OBJECT_END);
    Some(bytes.into())
}

/// OBS writes 0 for no track, others an empty string.
fn names_a_codec(value: &Amf0Value) -> bool {
    match value {
        Amf0Value::Number(number) => *number != 0.0,
        Amf0Value::Utf8String(name) => !name.is_empty(),
        _ => false,
    }
}

/// A dimension or a count: rounded, and nothing above 65,535 (a lie, or another unit).
fn whole(number: f64) -> Option<u32> {
    let text = format!("{number:.0}");
    text.parse::<u16>().ok().map(u32::from)
}

/// What FMLE, and so everyone, puts before `onMetaData` to have the server keep it.
pub(crate) const SET_DATA_FRAME: &str = "@setDataFrame";
const ON_META_DATA: &str = "onMetaData";
const SHORT_STRING: u8 = 2;
const OBJECT: u8 = 3;
const OBJECT_END: [u8; 3] = [0, 0, 9];
/// It goes into logs and a page.
const MAX_ENCODER_NAME: usize = 200;

#[cfg(test)]
mod tests;
