//! H.265: `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §8.3.3.1).

use std::fmt::Write as _;

use bytes::Bytes;

use super::bits::BitReader;
use super::{ConfigError, VideoConfig};
use crate::flv::VideoCodec;

pub(super) fn parse(record: &Bytes) -> Result<VideoConfig, ConfigError> {
    let head = record.first_chunk::<HEAD>().ok_or(ConfigError::Truncated)?;
    let [version, profile, c0, c1, c2, c3, f0, f1, f2, f3, f4, f5, level, .., lengths, arrays] = *head;
    if version != 1 {
        return Err(ConfigError::Broken(format!("hvcC version {version}")));
    }
    let sps = find_sps(record, arrays).ok_or(ConfigError::Truncated)?;
    let (width, height) = picture_size(sps).ok_or_else(|| ConfigError::Broken("HEVC SPS".to_owned()))?;
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6)).copied().unwrap_or_default();
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
    let mut codecs = format!("hvc1.{space}{}.{compatibility:x}.{tier}{level}", profile & 0x1F);
    // RFC 6381 as ISO/IEC 14496-15 annex E has it: constraint bytes, trailing zero bytes left out.
    let constraints = [f0, f1, f2, f3, f4, f5];
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        // Writing to a string cannot fail.
        let _ = write!(codecs, ".{byte:x}");
    }
    Ok(VideoConfig {
        codec: VideoCodec::Hevc,
        record: record.clone(),
        codecs,
        width,
        height,
        fps_milli: None,
        length_size: (lengths & 3) + 1,
    })
}

fn find_sps(record: &[u8], arrays: u8) -> Option<&[u8]> {
    let mut rest = record.get(HEAD..)?;
    for _ in 0..arrays {
        let [kind, count_a, count_b] = *rest.first_chunk::<3>()?;
        rest = rest.get(3..)?;
        for _ in 0..u16::from_be_bytes([count_a, count_b]) {
            let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
            let unit = rest.get(2..)?.get(..length)?;
            if kind & 0x3F == SPS {
                return Some(unit);
            }
            rest = rest.get(length.checked_add(2)?..)?;
        }
    }
    None
}

/// H.265 §7.3.2.2.1, as far as the conformance window.
fn picture_size(unit: &[u8]) -> Option<(u32, u32)> {
    let payload = unescape(unit.get(2..)?);
    let mut bits = BitReader::new(&payload);
    bits.skip(4)?;
    let sub_layers = bits.bits(3)?;
    bits.skip(1 + 96)?;
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.bit()?, bits.bit()?));
    }
    if sub_layers > 0 {
        for _ in sub_layers..8 {
            bits.skip(2)?;
        }
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    bits.ue()?;
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    let (width, height) = (bits.ue()?, bits.ue()?);
    if !bits.bit()? {
        return Some((width, height));
    }
    let (across, down) = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
    let cut = |whole: u32, a: u32, b: u32, unit: u32| whole.checked_sub(a.checked_add(b)?.checked_mul(unit)?);
    Some((cut(width, left, right, across)?, cut(height, top, bottom, down)?))
}

/// Takes out the emulation prevention bytes.
fn unescape(payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(payload.len());
    let mut zeros = 0_u32;
    for byte in payload {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros.saturating_add(1) } else { 0 };
        plain.push(*byte);
    }
    plain
}

const HEAD: usize = 23;
const SPS: u8 = 33;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The hvcC of MPEG's conformance file C001.heif: 1280x720, Main, level 4.
    const RECORD: &[u8] = &[
        0x01, 0x01, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x78, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 0x03,
        0xa0, 0, 1, 0, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0, 0, 3, 0, 0, 3, 0, 0, 3, 0, 0,
        3, 0, 0x78, 0xf0, 0x24, 0xa1, 0, 1, 0, 0x1f, 0x42, 0x01, 0x01, 0x01, 0x60, 0, 0, 3, 0, 0, 3, 0, 0, 3,
        0, 0, 3, 0, 0x78, 0xa0, 0x02, 0x80, 0x80, 0x2d, 0x1f, 0xe5, 0xf9, 0x24, 0x6d, 0x9e, 0xd9, 0xa2, 0, 1,
        0, 7, 0x44, 1, 0xc1, 0x90, 0x95, 0x81, 0x12,
    ];

    #[test]
    fn a_conformance_record_says_size_and_profile() {
        let config = VideoConfig::parse(VideoCodec::Hevc, &Bytes::from_static(RECORD)).expect("a real one");
        assert_eq!((config.width, config.height), (1280, 720));
        assert_eq!(config.codecs, "hvc1.1.6.L120");
    }

    proptest! {
        #[test]
        fn arbitrary_records_never_panic(at in 0..RECORD.len(), flip in any::<u8>(), cut in 0..RECORD.len()) {
            let mut near = RECORD.to_vec();
            near[at] ^= flip;
            let _ = VideoConfig::parse(VideoCodec::Hevc, &Bytes::from(near));
            let _ = VideoConfig::parse(VideoCodec::Hevc, &Bytes::from(RECORD[..cut].to_vec()));
        }
    }
}
