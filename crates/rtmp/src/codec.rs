//! The codec's name in an FLV tag: legacy numbers and Enhanced RTMP's FourCC.

use std::fmt;

/// A codec by its four characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

/// Video that a publisher may send, as Enhanced RTMP names it.
pub const SUPPORTED_VIDEO: [FourCc; 2] = [FourCc(*b"avc1"), FourCc(*b"hvc1")];

/// Audio that a publisher may send.
pub const SUPPORTED_AUDIO: [FourCc; 1] = [FourCc(*b"mp4a")];

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a video tag's codec, if it is one that nothing here can package; `None` also for tags too
/// short to say.
pub(crate) fn unsupported_video(tag: &[u8]) -> Option<String> {
    let first = *tag.first()?;
    if first & ENHANCED_VIDEO != 0 {
        if (first >> 4) & 0x07 == VIDEO_COMMAND && first & 0x0F != VIDEO_METADATA {
            return None;
        }
        return match first & 0x0F {
            VIDEO_MULTITRACK => unsupported_first_track(tag, &SUPPORTED_VIDEO),
            VIDEO_MOD_EX => None,
            _ => unsupported_fourcc(tag, &SUPPORTED_VIDEO),
        };
    }
    let name = match first & 0x0F {
        2 => "Sorenson H.263",
        3 => "Screen video",
        4 | 5 => "VP6",
        6 => "Screen video 2",
        AVC | LEGACY_HEVC => return None,
        // Numbers that Chinese encoders use beside Enhanced RTMP.
        13 => "AV1 (legacy number 13)",
        other => return Some(format!("video codec {other}")),
    };
    Some(name.to_owned())
}

/// The same for an audio tag.
pub(crate) fn unsupported_audio(tag: &[u8]) -> Option<String> {
    let first = *tag.first()?;
    let name = match first >> 4 {
        AAC => return None,
        ENHANCED_AUDIO => {
            return match first & 0x0F {
                AUDIO_MULTITRACK => unsupported_first_track(tag, &SUPPORTED_AUDIO),
                AUDIO_MOD_EX => None,
                _ => unsupported_fourcc(tag, &SUPPORTED_AUDIO),
            };
        }
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 | 8 => "G.711",
        11 => "Speex",
        13 => "Opus (legacy number 13)",
        other => return Some(format!("audio codec {other}")),
    };
    Some(name.to_owned())
}

/// Only track 0 is packaged: an encoder whose second track ended its stream would try again for ever. In each multitrack
/// message the first track's FourCC and number follow the byte that says how many there are.
fn unsupported_first_track(tag: &[u8], supported: &[FourCc]) -> Option<String> {
    let track = *tag.get(6)?;
    if track == 0 { unsupported_fourcc(tag.get(1..)?, supported) } else { None }
}

fn unsupported_fourcc(tag: &[u8], supported: &[FourCc]) -> Option<String> {
    let fourcc = FourCc(*tag.get(1..)?.first_chunk()?);
    (!supported.contains(&fourcc)).then(|| fourcc.to_string())
}

/// Enhanced RTMP v2, `ExVideoTagHeader`: the high bit, then frame type and packet type.
const ENHANCED_VIDEO: u8 = 0x80;
const VIDEO_COMMAND: u8 = 5;
const VIDEO_METADATA: u8 = 4;
const VIDEO_MULTITRACK: u8 = 6;
const VIDEO_MOD_EX: u8 = 7;
const AVC: u8 = 7;
/// HEVC before Enhanced RTMP, by a number that never was in the specification.
const LEGACY_HEVC: u8 = 12;
const AAC: u8 = 10;
const ENHANCED_AUDIO: u8 = 9;
const AUDIO_MULTITRACK: u8 = 5;
const AUDIO_MOD_EX: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_named_or_let_through() {
        let video: [(&[u8], Option<&str>); 13] = [
            (&[0x17, 0], None),
            (&[0x1C, 0], None),
            (&[0x22], Some("Sorenson H.263")),
            (&[0x1F], Some("video codec 15")),
            (b"\x90hvc1...", None),
            (b"\x91avc1...", None),
            (b"\x90av01...", Some("av01")),
            (b"\x90v\n", None),
            (b"\x96\x00hvc1\x00", None),
            (b"\x96\x00av01\x00", Some("av01")),
            (b"\x96\x00av01\x01", None),
            (&[0xD0, 1], None),
            (&[], None),
        ];
        for (tag, name) in video {
            assert_eq!(unsupported_video(tag).as_deref(), name, "{tag:x?}");
        }
        let audio: [(&[u8], Option<&str>); 6] = [
            (&[0xAF, 1], None),
            (&[0x2F, 1], Some("MP3")),
            (b"\x90mp4a", None),
            (b"\x91Opus", Some("Opus")),
            (b"\x95\x01Opus\x01", None),
            (&[], None),
        ];
        for (tag, name) in audio {
            assert_eq!(unsupported_audio(tag).as_deref(), name, "{tag:x?}");
        }
    }
}
