//! NAL units of H.264 and H.265: what each is for, and where a decoder can begin.

use crate::codec::bits::{BitReader, unescape};
use crate::flv::VideoCodec;
use crate::framing::{self, Framing, LONG_START_CODE};

/// What a NAL unit is to its access unit (H.264 table 7-1, H.265 table 7-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NalRole {
    /// An access unit delimiter: the first of its access unit, or nothing.
    Delimiter,
    /// Parameter sets and messages: they stand before the picture that they are for.
    Prefix,
    /// A part of the picture.
    Slice,
    /// Stands behind the picture that it is for.
    Suffix,
    /// Nothing that a decoder of a live stream misses: filler, ends of sequences, what has no meaning in a file.
    Nothing,
}

/// What a unit is for; by its header, so that garbage has some role too.
pub(crate) fn role(codec: VideoCodec, unit: &[u8]) -> NalRole {
    let Some(kind) = kind(codec, unit) else { return NalRole::Nothing };
    match codec {
        VideoCodec::Avc => match kind {
            1..=5 => NalRole::Slice,
            AVC_SEI if !is_sound_sei(codec, unit) => NalRole::Nothing,
            AVC_SEI | AVC_SPS | AVC_PPS | 13 | 15..=18 => NalRole::Prefix,
            9 => NalRole::Delimiter,
            19..=23 => NalRole::Suffix,
            // 10 and 11 end what goes on, 12 is filler, 14 is for decoders of layers; the others are RTP's.
            _ => NalRole::Nothing,
        },
        VideoCodec::Hevc => match kind {
            0..=9 | 16..=21 => NalRole::Slice,
            HEVC_SEI | HEVC_SUFFIX_SEI if !is_sound_sei(codec, unit) => NalRole::Nothing,
            HEVC_VPS | HEVC_SPS | HEVC_PPS | HEVC_SEI | 41..=44 => NalRole::Prefix,
            35 => NalRole::Delimiter,
            // 62 and 63 are Dolby Vision's.
            40 | 45..=47 | 62 | 63 => NalRole::Suffix,
            _ => NalRole::Nothing,
        },
    }
}

/// Whether the unit has a type that encoders use, whatever it is for.
pub(crate) fn is_known(codec: VideoCodec, unit: &[u8]) -> bool {
    header_kind(codec, unit).is_some_and(|kind| match codec {
        VideoCodec::Avc => (1..=21).contains(&kind),
        VideoCodec::Hevc => kind <= 9 || (16..=21).contains(&kind) || (32..=40).contains(&kind) || kind >= 62,
    })
}

/// `nal_unit_type` of a unit that has more than a header.
pub(crate) fn kind(codec: VideoCodec, unit: &[u8]) -> Option<u8> {
    let header = match codec {
        VideoCodec::Avc => 1,
        VideoCodec::Hevc => 2,
    };
    header_kind(codec, unit).filter(|_| unit.len() > header)
}

/// `nal_unit_type`; none where the forbidden bit is set.
fn header_kind(codec: VideoCodec, unit: &[u8]) -> Option<u8> {
    let first = unit.first().filter(|first| *first & 0x80 == 0)?;
    Some(match codec {
        VideoCodec::Avc => first & 0x1F,
        VideoCodec::Hevc => first >> 1,
    })
}

/// The parameter sets among a tag's units as annex B, for publishers that send no codec header; none where there is no
/// sequence parameter set.
pub(crate) fn parameter_sets(codec: VideoCodec, units: &[&[u8]]) -> Option<Vec<u8>> {
    let (sps, others): (u8, &[u8]) = match codec {
        VideoCodec::Avc => (AVC_SPS, &[AVC_PPS]),
        VideoCodec::Hevc => (HEVC_SPS, &[HEVC_VPS, HEVC_PPS]),
    };
    let is_set = |unit: &&&[u8]| kind(codec, unit).is_some_and(|kind| kind == sps || others.contains(&kind));
    units.iter().find(|unit| kind(codec, unit) == Some(sps))?;
    Some(units.iter().filter(is_set).flat_map(|unit| [LONG_START_CODE, unit].concat()).collect())
}

/// Whether a slice is the first one of its picture: by `first_mb_in_slice` and `first_slice_segment_in_pic_flag`, both of
/// which are a single set bit behind the header then. Slices that begin a picture twice, as redundant ones and those of
/// separate colour planes do, are of profiles that browsers do not play.
pub(crate) fn begins_picture(codec: VideoCodec, slice: &[u8]) -> bool {
    match (codec, slice) {
        (VideoCodec::Avc, [_, first, ..]) => first & 0x80 != 0,
        // Another layer of the same picture is no picture of its own.
        (VideoCodec::Hevc, [kind, layer, first, ..]) => {
            kind & 0x01 == 0 && layer >> 3 == 0 && first & 0x80 != 0
        }
        _ => false,
    }
}

/// Whether decoding can begin with what these units hold: an IDR picture (of H.265 any IRAP picture), a recovery point
/// message, or a picture of intra slices alone that the publisher calls a keyframe. None where there is no picture.
pub(crate) fn begins_decoding(codec: VideoCodec, units: &[&[u8]], flagged: bool) -> Option<bool> {
    let slices = || units.iter().filter(|unit| role(codec, unit) == NalRole::Slice);
    slices().next()?;
    let random_access = slices().any(|slice| match codec {
        VideoCodec::Avc => kind(codec, slice) == Some(AVC_IDR),
        VideoCodec::Hevc => kind(codec, slice).is_some_and(|kind| kind >= HEVC_FIRST_IRAP),
    });
    // What stands behind the picture is for the next one, and a message that is not whole is for none.
    let mut before =
        units.iter().map(|unit| (role(codec, unit), unit)).take_while(|(role, _)| *role != NalRole::Slice);
    Some(
        random_access
            || before.any(|(role, unit)| role == NalRole::Prefix && is_recovery_point(codec, unit))
            || (flagged && slices().all(|slice| is_intra(codec, slice) != Some(false))),
    )
}

/// Whether a sample's picture is an IDR picture, in H.265 a BLA picture too: with it a decoder forgets all that came before,
/// so that the same picture may come twice. A CRA picture may not: it would count as a second picture at one place in the
/// order of output (H.265 §8.3.1).
pub(crate) fn is_idr(codec: VideoCodec, data: &[u8], prefix: usize) -> bool {
    let units = framing::split(codec, data, prefix, Some(Framing::Lengths))
        .map(|split| split.units)
        .unwrap_or_default();
    let mut slices = units.iter().filter(|unit| role(codec, unit) == NalRole::Slice).peekable();
    slices.peek().is_some()
        && slices.all(|slice| match codec {
            VideoCodec::Avc => kind(codec, slice) == Some(AVC_IDR),
            VideoCodec::Hevc => {
                kind(codec, slice).is_some_and(|kind| (HEVC_FIRST_IRAP..HEVC_CRA).contains(&kind))
            }
        })
}

/// Whether the unit is an SEI with a recovery point (payload type 6 in both standards, annex D).
pub(crate) fn is_recovery_point(codec: VideoCodec, unit: &[u8]) -> bool {
    let mut found = false;
    sei_messages(codec, unit, |kind, _| found |= kind == RECOVERY_POINT);
    found
}

/// Whether the messages of an SEI are as long as they say and as their types have to be: Chromium gives up a picture, and the
/// player with it, for one that is not.
fn is_sound_sei(codec: VideoCodec, unit: &[u8]) -> bool {
    let mut long_enough = true;
    let whole = sei_messages(codec, unit, |kind, payload| {
        let least = match kind {
            REGISTERED_USER_DATA => 3,
            UNREGISTERED_USER_DATA => 16,
            _ => 0,
        };
        long_enough &= payload.len() >= least;
    });
    whole && long_enough
}

/// Type and payload of each message in the unit, if it is an SEI (§7.3.2.3, §7.3.5). False when one is cut off.
pub(crate) fn sei_messages(codec: VideoCodec, unit: &[u8], mut each: impl FnMut(usize, &[u8])) -> bool {
    let header = match (codec, kind(codec, unit)) {
        (VideoCodec::Avc, Some(AVC_SEI)) => 1,
        (VideoCodec::Hevc, Some(HEVC_SEI | HEVC_SUFFIX_SEI)) => 2,
        _ => return true,
    };
    let payload = unescape(unit.get(header..).unwrap_or_default());
    let mut rest = payload.as_slice();
    while rest.len() > 2 {
        let (Some(kind), Some(size)) = (sei_number(&mut rest), sei_number(&mut rest)) else { return false };
        each(kind, rest.get(..size).unwrap_or(rest));
        let Some(behind) = rest.get(size..) else { return false };
        rest = behind;
    }
    true
}

/// A sum of 255s and a last byte (§7.3.2.3.1).
fn sei_number(rest: &mut &[u8]) -> Option<usize> {
    let more = rest.iter().take_while(|byte| **byte == 0xFF).count();
    let last = *rest.get(more)?;
    *rest = rest.get(more + 1..)?;
    more.checked_mul(255)?.checked_add(last.into())
}

/// By `slice_type` (§7.4.3, §7.4.7.1). None where it cannot be read without the parameter sets: in H.265 that is
/// every slice segment but a picture's first.
fn is_intra(codec: VideoCodec, slice: &[u8]) -> Option<bool> {
    match codec {
        VideoCodec::Avc => {
            let mut bits = BitReader::new(slice.get(1..)?);
            bits.ue()?;
            Some(matches!(bits.ue()? % 5, 2 | 4))
        }
        VideoCodec::Hevc => {
            let mut bits = BitReader::new(slice.get(2..)?);
            if !bits.bit()? {
                return None;
            }
            bits.ue()?;
            Some(bits.ue()? == 2)
        }
    }
}

pub(crate) const AVC_SPS: u8 = 7;
pub(crate) const AVC_PPS: u8 = 8;
pub(crate) const HEVC_VPS: u8 = 32;
pub(crate) const HEVC_SPS: u8 = 33;
pub(crate) const HEVC_PPS: u8 = 34;
const AVC_IDR: u8 = 5;
const AVC_SEI: u8 = 6;
/// 16 to 21 are all of them.
const HEVC_FIRST_IRAP: u8 = 16;
const HEVC_CRA: u8 = 21;
const HEVC_SEI: u8 = 39;
const HEVC_SUFFIX_SEI: u8 = 40;
pub(crate) const REGISTERED_USER_DATA: usize = 4;
const UNREGISTERED_USER_DATA: usize = 5;
const RECOVERY_POINT: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_decoders_give_up_are_none() {
        let uuid = [7; 16];
        let cases: [(&[u8], NalRole); 7] = [
            (&[&b"\x06\x05\x10"[..], &uuid, b"\x80"].concat(), NalRole::Prefix),
            // A recovery point, and behind it a remark that is too short for its UUID.
            (b"\x06\x06\x01\xc4\x80", NalRole::Prefix),
            (b"\x06\x06\x01\xc4\x05\x01\x00\x80", NalRole::Nothing),
            (b"\x06\x05\x01\x00\x80", NalRole::Nothing),
            (b"\x06\x04\x02\xb5\x00\x80", NalRole::Nothing),
            // Longer than the unit.
            (b"\x06\x01\x10\x00\x80", NalRole::Nothing),
            (b"\x06\xff\xff\xff\xff", NalRole::Nothing),
        ];
        for (unit, wanted) in cases {
            assert_eq!(role(VideoCodec::Avc, unit), wanted, "{unit:x?}");
            let hevc = [b"\x4e\x01", unit.get(1..).unwrap_or_default()].concat();
            assert_eq!(role(VideoCodec::Hevc, &hevc), wanted, "{hevc:x?}");
        }
    }

    #[test]
    fn a_recovery_point_opens_the_picture_behind_it_and_is_whole() {
        let (slice, recovery): (&[u8], &[u8]) = (b"\x41\x9a", b"\x06\x06\x01\xc4\x80");
        for (units, opens) in [
            (&[recovery, slice][..], Some(true)),
            (&[slice, recovery], Some(false)),
            (&[b"\x06\x06\x06\x06", slice], Some(false)),
            (&[recovery], None),
        ] {
            assert_eq!(begins_decoding(VideoCodec::Avc, units, false), opens, "{units:x?}");
        }
    }

    #[test]
    fn a_picture_is_an_idr_picture_when_each_slice_is() {
        let cases: [(VideoCodec, &[u8], bool); 9] = [
            (VideoCodec::Avc, b"\0\0\0\x02\x09\xf0\0\0\0\x02\x65\x88", true),
            (VideoCodec::Avc, b"\0\0\0\x02\x41\x88", false),
            (VideoCodec::Avc, b"\0\0\0\x02\x65\x88\0\0\0\x02\x41\x88", false),
            (VideoCodec::Avc, b"\0\0\0\x02\x67\x42", false),
            (VideoCodec::Avc, b"", false),
            // BLA_W_LP, IDR_N_LP, CRA, TRAIL_R.
            (VideoCodec::Hevc, b"\0\0\0\x03\x20\x01\xaf", true),
            (VideoCodec::Hevc, b"\0\0\0\x03\x28\x01\xaf", true),
            (VideoCodec::Hevc, b"\0\0\0\x03\x2a\x01\xaf", false),
            (VideoCodec::Hevc, b"\0\0\0\x03\x02\x01\xaf", false),
        ];
        for (codec, data, idr) in cases {
            assert_eq!(is_idr(codec, data, 4), idr, "{codec:?} {data:x?}");
        }
    }
}
