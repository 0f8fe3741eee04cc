//! H.265: `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §8.3.3.1).

mod sps;

use std::fmt::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};

use self::sps::Sps;
use super::{ConfigError, VideoConfig, put_unit, take_unit};
use crate::access_unit::LENGTH_SIZE;
use crate::flv::VideoCodec;
use crate::framing;
use crate::nal::{self, HEVC_PPS, HEVC_SPS, HEVC_VPS};

pub(super) fn parse(record: &Bytes) -> Result<VideoConfig, ConfigError> {
    let sets = ParameterSets::of(record)?;
    let sps = sets.of_kind(HEVC_SPS).next().ok_or(ConfigError::Truncated)?;
    let sps = Sps::parse(sps).ok_or_else(|| ConfigError::Broken("HEVC SPS".to_owned()))?;
    let head = sets.head.unwrap_or_else(|| sps.head());
    let [_, profile, c0, c1, c2, c3, f0, f1, f2, f3, f4, f5, level, ..] = head;
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
        record: sets.write(head)?,
        codecs,
        width: sps.width,
        height: sps.height,
        pixel_aspect: sps.usability.pixel_aspect,
        scan: sps.scan,
        fields: None,
        colour: sps.usability.colour,
        fps_milli: None,
        length_size: sets.length_size,
    })
}

/// What a decoder needs of a record, or of annex B in its place.
struct ParameterSets<'a> {
    /// None where there is no record but annex B.
    head: Option<[u8; HEAD]>,
    length_size: u8,
    /// By `nal_unit_type`, with the record's bit for whether it is complete.
    arrays: Vec<(u8, Vec<&'a [u8]>)>,
}

impl<'a> ParameterSets<'a> {
    fn of(record: &'a [u8]) -> Result<Self, ConfigError> {
        if framing::begins_with_start_code(record) {
            let units = framing::between_start_codes(record);
            let of_kind = |wanted: u8| {
                let found = units.iter().copied();
                (
                    COMPLETE | wanted,
                    found.filter(|unit| nal::kind(VideoCodec::Hevc, unit) == Some(wanted)).collect(),
                )
            };
            let arrays = vec![of_kind(HEVC_VPS), of_kind(HEVC_SPS), of_kind(HEVC_PPS)];
            return Ok(Self { head: None, length_size: 4, arrays });
        }
        let (head, rest) = record.split_first_chunk::<HEAD>().ok_or(ConfigError::Truncated)?;
        let [version, .., lengths] = *head;
        if version != 1 {
            return Err(ConfigError::Broken(format!("hvcC version {version}")));
        }
        let (count, mut rest) = rest.split_first().ok_or(ConfigError::Truncated)?;
        let mut arrays = Vec::new();
        for _ in 0..*count {
            let Some(([kind, count_a, count_b], behind)) = rest.split_first_chunk::<3>() else { break };
            rest = behind;
            let mut units = Vec::new();
            for _ in 0..u16::from_be_bytes([*count_a, *count_b]) {
                let Some(unit) = take_unit(&mut rest) else { break };
                units.extend(framing::between_start_codes(unit));
            }
            arrays.push((*kind, units));
        }
        Ok(Self { head: Some(*head), length_size: (lengths & 3) + 1, arrays })
    }

    fn of_kind(&self, wanted: u8) -> impl Iterator<Item = &'a [u8]> + '_ {
        let arrays = self.arrays.iter().filter(move |(kind, _)| kind & 0x3F == wanted);
        arrays.flat_map(|(_, units)| units.iter().copied())
    }

    /// The record anew, for access units as [`crate::access_unit`] writes them.
    fn write(&self, head: [u8; HEAD]) -> Result<Bytes, ConfigError> {
        let broken = |_| ConfigError::Broken("too many parameter sets".to_owned());
        let [before @ .., lengths] = head;
        let mut record = BytesMut::new();
        record.put_slice(&before);
        record.put_u8(lengths & !3 | u8::try_from(LENGTH_SIZE - 1).unwrap_or(3));
        record.put_u8(u8::try_from(self.arrays.len()).map_err(broken)?);
        for (kind, units) in &self.arrays {
            record.put_u8(*kind);
            record.put_u16(u16::try_from(units.len()).map_err(broken)?);
            for unit in units {
                put_unit(&mut record, unit)?;
            }
        }
        Ok(record.freeze())
    }
}

/// Up to the count of arrays.
const HEAD: usize = 22;
/// `array_completeness`: no further sets come in the stream.
const COMPLETE: u8 = 0x80;

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

    #[test]
    fn the_record_is_written_as_it_came_without_spare_bytes_and_for_long_lengths() {
        for (spare, lengths) in [(&[][..], 0x0f), (&[0, 0xab], 0x0f), (&[], 0x0d)] {
            let mut record = [RECORD, spare].concat();
            record[21] = lengths;
            let config = VideoConfig::parse(VideoCodec::Hevc, &Bytes::from(record)).expect("a real one");
            assert_eq!((&config.record[..], config.length_size), (RECORD, (lengths & 3) + 1));
        }
    }

    #[test]
    fn annex_b_in_place_of_a_record_says_the_same() {
        let (vps, sps, pps) = (&RECORD[28..52], &RECORD[57..88], &RECORD[93..]);
        let code = &[0, 0, 0, 1][..];
        let annex_b = Bytes::from([code, vps, code, sps, code, pps].concat());
        let config = VideoConfig::parse(VideoCodec::Hevc, &annex_b).expect("three sets");
        assert_eq!((config.width, config.height, config.codecs.as_str()), (1280, 720, "hvc1.1.6.L120"));
        assert_eq!(config.record[22..], RECORD[22..]);
    }

    proptest! {
        #[test]
        fn arbitrary_records_never_panic(at in 0..RECORD.len(), flip in any::<u8>(), cut in 0..RECORD.len()) {
            let mut near = RECORD.to_vec();
            near[at] ^= flip;
            if let Ok(config) = VideoConfig::parse(VideoCodec::Hevc, &Bytes::from(near)) {
                let again = VideoConfig::parse(VideoCodec::Hevc, &config.record);
                prop_assert_eq!(again, Ok(VideoConfig { length_size: 4, ..config }));
            }
            let _ = VideoConfig::parse(VideoCodec::Hevc, &Bytes::from(RECORD[..cut].to_vec()));
        }
    }
}
