use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::colour_info::colour_info;
use super::multitrack::first_track;
use crate::codec::Colour;
use crate::framing;
use crate::nal;

/// What a VIDEODATA body holds (legacy FLV, and Enhanced RTMP v2 with a `FourCC`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoTag {
    /// A decoder configuration record: avcC or hvcC.
    SequenceHeader {
        /// Of which codec.
        codec: VideoCodec,
        /// The record.
        record: Bytes,
    },
    /// One access unit, NAL units with length prefixes.
    Frame {
        /// Of which codec.
        codec: VideoCodec,
        /// The tag calls it a keyframe. Encoders say so of every frame, and of IDR pictures that they are none:
        /// [`begins_decoding`] decides.
        flagged: bool,
        /// Presentation time minus decode time, in milliseconds.
        composition_ms: i32,
        /// The access unit.
        data: Bytes,
    },
    /// What the samples of this track mean, where its parameter sets do not say it.
    Colour(Colour),
    /// End of sequence, a command, other metadata: nothing to show.
    Nothing,
}

/// A video codec that can be packaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
}

/// The name that encoders' settings have for it.
impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avc => "H.264",
            Self::Hevc => "H.265",
        })
    }
}

/// What an AUDIODATA body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioTag {
    /// An AudioSpecificConfig.
    SequenceHeader {
        /// Of which codec.
        codec: AudioCodec,
        /// The configuration.
        record: Bytes,
    },
    /// One raw frame.
    Frame {
        /// Of which codec.
        codec: AudioCodec,
        /// The frame.
        data: Bytes,
    },
    /// Nothing to hear.
    Nothing,
}

/// An audio codec that can be packaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC.
    Aac,
}

/// Why a tag's body cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TagError {
    /// It ends before its header does.
    #[error("a tag that is cut off")]
    Truncated,
    /// A codec that is not packaged, by name.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// It holds nothing of track 0, the only one of its kind (`video` or `audio`) that is packaged.
    #[error("a second {0} track")]
    OtherTrack(&'static str),
}

impl VideoTag {
    /// Reads a body.
    ///
    /// # Errors
    /// [`TagError`] when it is cut off or of another codec.
    pub fn parse(body: &Bytes) -> Result<Self, TagError> {
        let first = *body.first().ok_or(TagError::Truncated)?;
        if first & ENHANCED_VIDEO == 0 {
            Self::parse_legacy(first, body)
        } else {
            Self::parse_enhanced(first, body)
        }
    }

    fn parse_legacy(first: u8, body: &Bytes) -> Result<Self, TagError> {
        if first >> 4 == COMMAND_FRAME {
            return Ok(Self::Nothing);
        }
        let codec = match first & 0x0F {
            7 => VideoCodec::Avc,
            12 => VideoCodec::Hevc,
            other => return Err(TagError::Unsupported(legacy_video_name(other))),
        };
        let [_, packet, a, b, c] = *body.first_chunk::<5>().ok_or(TagError::Truncated)?;
        let data = body.slice(5..);
        Ok(match packet {
            0 => Self::SequenceHeader { codec, record: data },
            1 => Self::frame(codec, first, si24(a, b, c), data),
            _ => Self::Nothing,
        })
    }

    fn frame(codec: VideoCodec, first: u8, composition_ms: i32, data: Bytes) -> Self {
        // 1 is a keyframe and 4 a generated one; Enhanced RTMP's bit is none of the type.
        let flagged = matches!((first & !ENHANCED_VIDEO) >> 4, 1 | 4);
        Self::Frame { codec, flagged, composition_ms, data }
    }

    fn parse_enhanced(first: u8, body: &Bytes) -> Result<Self, TagError> {
        if (first >> 4) & 0x07 == COMMAND_FRAME && first & 0x0F != PACKET_METADATA {
            return Ok(Self::Nothing);
        }
        let (packet, at) = match first & 0x0F {
            PACKET_MOD_EX => skip_mod_ex(body)?,
            packet => (packet, 1),
        };
        let body = body.slice_ref(body.get(at..).ok_or(TagError::Truncated)?);
        if packet != PACKET_MULTITRACK {
            let (fourcc, payload) = split_fourcc(&body)?;
            return Self::coded(first, packet, fourcc, payload);
        }
        let track = first_track(&body)?.ok_or(TagError::OtherTrack("video"))?;
        Self::coded(first, track.packet, track.fourcc, track.payload)
    }

    fn coded(first: u8, packet: u8, fourcc: [u8; 4], payload: Bytes) -> Result<Self, TagError> {
        let codec = match &fourcc {
            b"avc1" => VideoCodec::Avc,
            b"hvc1" => VideoCodec::Hevc,
            other => return Err(TagError::Unsupported(other.escape_ascii().to_string())),
        };
        Ok(match packet {
            0 => Self::SequenceHeader { codec, record: payload },
            1 => {
                let [a, b, c] = *payload.first_chunk::<3>().ok_or(TagError::Truncated)?;
                Self::frame(codec, first, si24(a, b, c), payload.slice(3..))
            }
            3 => Self::frame(codec, first, 0, payload),
            PACKET_METADATA => colour_info(&payload).map_or(Self::Nothing, Self::Colour),
            _ => Self::Nothing,
        })
    }
}

impl AudioTag {
    /// Reads a body.
    ///
    /// # Errors
    /// [`TagError`] when it is cut off or of another codec.
    pub fn parse(body: &Bytes) -> Result<Self, TagError> {
        let first = *body.first().ok_or(TagError::Truncated)?;
        match first >> 4 {
            10 => {
                let packet = *body.get(1).ok_or(TagError::Truncated)?;
                let codec = AudioCodec::Aac;
                Ok(match packet {
                    0 => Self::SequenceHeader { codec, record: body.slice(2..) },
                    1 => Self::Frame { codec, data: body.slice(2..) },
                    _ => Self::Nothing,
                })
            }
            ENHANCED_AUDIO => Self::parse_enhanced(first, body),
            other => Err(TagError::Unsupported(legacy_audio_name(other))),
        }
    }

    fn parse_enhanced(first: u8, body: &Bytes) -> Result<Self, TagError> {
        let (packet, at) = match first & 0x0F {
            PACKET_MOD_EX => skip_mod_ex(body)?,
            packet => (packet, 1),
        };
        let body = body.slice_ref(body.get(at..).ok_or(TagError::Truncated)?);
        if packet != AUDIO_MULTITRACK {
            let (fourcc, payload) = split_fourcc(&body)?;
            return Self::coded(packet, fourcc, payload);
        }
        let track = first_track(&body)?.ok_or(TagError::OtherTrack("audio"))?;
        Self::coded(track.packet, track.fourcc, track.payload)
    }

    fn coded(packet: u8, fourcc: [u8; 4], payload: Bytes) -> Result<Self, TagError> {
        if fourcc != *b"mp4a" {
            return Err(TagError::Unsupported(fourcc.escape_ascii().to_string()));
        }
        let codec = AudioCodec::Aac;
        Ok(match packet {
            0 => Self::SequenceHeader { codec, record: payload },
            1 => Self::Frame { codec, data: payload },
            _ => Self::Nothing,
        })
    }
}

/// Whether a decoder can begin with the access unit of a [`VideoTag::Frame`], by its NAL units; as the tag says where they
/// cannot be told apart. The codec header says how many bytes its lengths have.
pub fn begins_decoding(codec: VideoCodec, flagged: bool, data: &[u8], length_size: u8) -> bool {
    framing::split(codec, data, length_size.into(), None)
        .and_then(|split| nal::begins_decoding(codec, &split.units, flagged))
        .unwrap_or(flagged)
}

fn split_fourcc(body: &Bytes) -> Result<([u8; 4], Bytes), TagError> {
    let fourcc = *body.first_chunk::<4>().ok_or(TagError::Truncated)?;
    Ok((fourcc, body.slice(4..)))
}

/// Enhanced RTMP v2's extensions before the real packet type (a nanosecond offset is the only one defined): the
/// packet type and where the `FourCC` begins.
fn skip_mod_ex(body: &[u8]) -> Result<(u8, usize), TagError> {
    let mut at = 1_usize;
    for _ in 0..MAX_MOD_EX {
        let mut size = usize::from(*body.get(at).ok_or(TagError::Truncated)?).saturating_add(1);
        at = at.saturating_add(1);
        if size == 256 {
            let long = body.get(at..).and_then(|rest| rest.first_chunk::<2>()).ok_or(TagError::Truncated)?;
            size = usize::from(u16::from_be_bytes(*long)).saturating_add(1);
            at = at.saturating_add(2);
        }
        at = at.saturating_add(size);
        let packet = *body.get(at).ok_or(TagError::Truncated)? & 0x0F;
        at = at.saturating_add(1);
        if packet != PACKET_MOD_EX {
            return Ok((packet, at));
        }
    }
    Err(TagError::Truncated)
}

fn si24(a: u8, b: u8, c: u8) -> i32 {
    i32::from_be_bytes([a, b, c, 0]) >> 8
}

fn legacy_video_name(codec: u8) -> String {
    match codec {
        2 => "Sorenson H.263".to_owned(),
        3 => "Screen video".to_owned(),
        4 | 5 => "VP6".to_owned(),
        6 => "Screen video 2".to_owned(),
        13 => "AV1 (legacy number 13)".to_owned(),
        other => format!("video codec {other}"),
    }
}

fn legacy_audio_name(codec: u8) -> String {
    match codec {
        0 | 3 => "PCM".to_owned(),
        1 => "ADPCM".to_owned(),
        2 | 14 => "MP3".to_owned(),
        4..=6 => "Nellymoser".to_owned(),
        7 | 8 => "G.711".to_owned(),
        11 => "Speex".to_owned(),
        13 => "Opus (legacy number 13)".to_owned(),
        other => format!("audio codec {other}"),
    }
}

const ENHANCED_VIDEO: u8 = 0x80;
const ENHANCED_AUDIO: u8 = 9;
const COMMAND_FRAME: u8 = 5;
const PACKET_METADATA: u8 = 4;
const PACKET_MULTITRACK: u8 = 6;
const AUDIO_MULTITRACK: u8 = 5;
const PACKET_MOD_EX: u8 = 7;
/// What nearly every encoder writes.
pub const USUAL_LENGTH_SIZE: u8 = 4;
/// One is defined; a loop over more is somebody's joke.
const MAX_MOD_EX: u8 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn video(body: &'static [u8]) -> Result<VideoTag, TagError> {
        VideoTag::parse(&Bytes::from_static(body))
    }

    fn audio(body: &'static [u8]) -> Result<AudioTag, TagError> {
        AudioTag::parse(&Bytes::from_static(body))
    }

    fn frame(codec: VideoCodec, flagged: bool, composition_ms: i32) -> VideoTag {
        VideoTag::Frame { codec, flagged, composition_ms, data: Bytes::from_static(b"nal") }
    }

    #[test]
    fn video_bodies_are_read_in_every_form_that_publishers_send() {
        let header = |codec| Ok(VideoTag::SequenceHeader { codec, record: Bytes::from_static(b"cfg") });
        assert_eq!(video(b"\x17\0\0\0\0cfg"), header(VideoCodec::Avc));
        assert_eq!(video(b"\x17\x01\0\0\x42nal"), Ok(frame(VideoCodec::Avc, true, 66)));
        assert_eq!(video(b"\x27\x01\xff\xff\xbenal"), Ok(frame(VideoCodec::Avc, false, -66)));
        assert_eq!(video(b"\x17\x02\0\0\0"), Ok(VideoTag::Nothing));
        assert_eq!(video(b"\x57\x00"), Ok(VideoTag::Nothing));
        assert_eq!(video(b"\x1c\0\0\0\0cfg"), header(VideoCodec::Hevc));
        assert_eq!(video(b"\x90hvc1cfg"), header(VideoCodec::Hevc));
        assert_eq!(video(b"\x91hvc1\0\0\x21nal"), Ok(frame(VideoCodec::Hevc, true, 33)));
        assert_eq!(video(b"\xa3avc1nal"), Ok(frame(VideoCodec::Avc, false, 0)));
        assert_eq!(video(b"\x97\x02\0\0\0\x03hvc1nal"), Ok(frame(VideoCodec::Hevc, true, 0)));
        assert_eq!(video(b"\x92hvc1"), Ok(VideoTag::Nothing));
        assert_eq!(video(b"\xd0\x01"), Ok(VideoTag::Nothing));
    }

    #[test]
    fn what_cannot_be_packaged_is_refused_by_name() {
        assert_eq!(video(b"\x90av01cfg"), Err(TagError::Unsupported("av01".to_owned())));
        assert_eq!(video(b"\x12"), Err(TagError::Unsupported("Sorenson H.263".to_owned())));
        assert_eq!(audio(b"\x2f\x00"), Err(TagError::Unsupported("MP3".to_owned())));
        assert_eq!(audio(b"\x90Opuscfg"), Err(TagError::Unsupported("Opus".to_owned())));
    }

    #[test]
    fn audio_bodies_are_read_in_both_forms() {
        let record = Bytes::from_static(b"\x12\x10");
        let header = Ok(AudioTag::SequenceHeader { codec: AudioCodec::Aac, record });
        assert_eq!(audio(b"\xaf\0\x12\x10"), header);
        assert_eq!(audio(b"\x90mp4a\x12\x10"), header);
        let frame = Ok(AudioTag::Frame { codec: AudioCodec::Aac, data: Bytes::from_static(b"raw") });
        assert_eq!(audio(b"\xaf\x01raw"), frame);
        assert_eq!(audio(b"\x91mp4araw"), frame);
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let body = Bytes::from(bytes);
            let _ = VideoTag::parse(&body);
            let _ = AudioTag::parse(&body);
        }
    }
}
