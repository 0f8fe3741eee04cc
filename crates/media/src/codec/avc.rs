//! H.264: `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1).

mod sps;

use bytes::{BufMut as _, Bytes, BytesMut};

use self::sps::{Sps, has_chroma_info};
use super::{ConfigError, Scan, VideoConfig, put_unit, take_unit};
use crate::access_unit::LENGTH_SIZE;
use crate::flv::VideoCodec;
use crate::framing;
use crate::nal::{self, AVC_PPS, AVC_SPS};

pub(super) fn parse(record: &Bytes) -> Result<VideoConfig, ConfigError> {
    let sets = ParameterSets::of(record)?;
    let first = *sets.sps.first().ok_or(ConfigError::Truncated)?;
    let sps = Sps::parse(first).ok_or_else(|| ConfigError::Broken("SPS".to_owned()))?;
    // Three bytes after the NAL header are what the codecs string says.
    let [_, profile, constraints, level] = *first.first_chunk::<4>().ok_or(ConfigError::Truncated)?;
    Ok(VideoConfig {
        codec: VideoCodec::Avc,
        record: sets.write([profile, constraints, level], &sps)?,
        codecs: format!("avc1.{profile:02x}{constraints:02x}{level:02x}"),
        width: sps.width,
        height: sps.height,
        pixel_aspect: sps.usability.pixel_aspect,
        scan: sps.scan,
        fields: (sps.scan == Scan::Interlaced).then_some(sps.fields),
        colour: sps.usability.colour,
        fps_milli: sps.fps_milli,
        length_size: sets.length_size,
    })
}

/// What a decoder needs of a record. Publishers pad records and sets with spare bytes, put start codes into them, or
/// send annex B instead.
struct ParameterSets<'a> {
    length_size: u8,
    sps: Vec<&'a [u8]>,
    pps: Vec<&'a [u8]>,
}

impl<'a> ParameterSets<'a> {
    fn of(record: &'a [u8]) -> Result<Self, ConfigError> {
        let mut sets = Self { length_size: 4, sps: Vec::new(), pps: Vec::new() };
        if framing::begins_with_start_code(record) {
            sets.add(record);
            return Ok(sets);
        }
        let (head, mut rest) = record.split_first_chunk::<HEAD>().ok_or(ConfigError::Truncated)?;
        let [version, _, _, _, lengths, count] = *head;
        if version != 1 {
            return Err(ConfigError::Broken(format!("avcC version {version}")));
        }
        sets.length_size = (lengths & 3) + 1;
        for _ in 0..count & 0x1F {
            sets.add(take_unit(&mut rest).ok_or(ConfigError::Truncated)?);
        }
        // A record that is cut off here may be followed by picture parameter sets in the stream.
        if let Some((count, behind)) = rest.split_first() {
            rest = behind;
            for _ in 0..*count {
                let Some(set) = take_unit(&mut rest) else { break };
                sets.add(set);
            }
        }
        Ok(sets)
    }

    /// Sorts by what a set is, not by which list it was in.
    fn add(&mut self, set: &'a [u8]) {
        for unit in framing::between_start_codes(set) {
            match nal::kind(VideoCodec::Avc, unit) {
                Some(AVC_SPS) if self.sps.len() < MAX_SPS => self.sps.push(unit),
                Some(AVC_PPS) if self.pps.len() < MAX_PPS => self.pps.push(unit),
                _ => {}
            }
        }
    }

    /// The record anew, for access units as [`crate::access_unit`] writes them.
    fn write(&self, [profile, constraints, level]: [u8; 3], sps: &Sps) -> Result<Bytes, ConfigError> {
        let mut record = BytesMut::new();
        let length = u8::try_from(LENGTH_SIZE - 1).unwrap_or(3);
        record.put_slice(&[1, profile, constraints, level, 0xFC | length]);
        record.put_u8(0xE0 | u8::try_from(self.sps.len()).unwrap_or(0));
        for unit in &self.sps {
            put_unit(&mut record, unit)?;
        }
        record.put_u8(u8::try_from(self.pps.len()).unwrap_or(0));
        for unit in &self.pps {
            put_unit(&mut record, unit)?;
        }
        if has_chroma_info(profile) {
            let depth = |depth: u32| 0xF8 | u8::try_from(depth & 7).unwrap_or(0);
            let chroma = 0xFC | u8::try_from(sps.chroma_format & 3).unwrap_or(1);
            record.put_slice(&[chroma, depth(sps.luma_depth), depth(sps.chroma_depth), 0]);
        }
        Ok(record.freeze())
    }
}

/// What x264's High profile will call itself at that size: for the master playlist, before its first frame is out.
pub fn expected_high_codecs(width: u32, height: u32, fps_milli: u32) -> String {
    let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
    let rate = macroblocks * u64::from(fps_milli) / 1000;
    let level = LEVELS
        .iter()
        .find(|(_, most_rate, most_frame)| rate <= *most_rate && macroblocks <= *most_frame)
        .map_or(52, |(level, ..)| *level);
    format!("avc1.6400{level:02x}")
}

const HEAD: usize = 6;
/// The record's fields have five and eight bits.
const MAX_SPS: usize = 31;
const MAX_PPS: usize = 255;
/// H.264 Table A-1: level, macroblocks a second, macroblocks a frame.
const LEVELS: [(u8, u64, u64); 9] = [
    (21, 19_800, 792),
    (22, 20_250, 1_620),
    (30, 40_500, 1_620),
    (31, 108_000, 3_600),
    (32, 216_000, 5_120),
    (40, 245_760, 8_192),
    (42, 522_240, 8_704),
    (51, 983_040, 36_864),
    (52, 2_073_600, 36_864),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// x264, 640x360 at 30 fps, High, from ffmpeg's FLV.
    const RECORD: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";

    #[test]
    fn an_x264_record_says_size_rate_and_profile() {
        let config = VideoConfig::parse(VideoCodec::Avc, &Bytes::from_static(RECORD)).expect("a real one");
        assert_eq!((config.width, config.height, config.fps_milli), (640, 360, Some(30_000)));
        assert_eq!(config.codecs, "avc1.64001e");
        assert_eq!(config.length_size, 4);
    }

    /// x264's Baseline, 1280x720: no fields behind the parameter sets.
    const BASELINE: &[u8] = b"\x01\x42\xc0\x1f\xff\xe1\0\x17\x67\x42\xc0\x1f\xda\x01\x40\x16\xec\x04\x40\0\0\x03\0\x40\0\0\x0f\x03\xc6\x0c\xa8\x01\0\x04\x68\xce\x0f\xc8";

    fn config(record: &[u8]) -> VideoConfig {
        VideoConfig::parse(VideoCodec::Avc, &Bytes::copy_from_slice(record)).expect("one that browsers play")
    }

    /// BASELINE with its sequence parameter set changed.
    fn with_sps(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut sps = BASELINE[8..31].to_vec();
        change(&mut sps);
        let length = u8::try_from(sps.len()).expect("short");
        [&BASELINE[..7], &[length], &sps, &BASELINE[31..]].concat()
    }

    #[test]
    fn a_record_as_it_should_be_is_written_as_it_came() {
        for record in [RECORD, BASELINE] {
            assert_eq!(config(record).record, record);
        }
    }

    #[test]
    fn what_is_spare_in_a_record_leaves_the_parameter_sets_as_they_are() {
        let (sps, pps) = (&BASELINE[8..31], &BASELINE[34..]);
        for (case, record) in [
            ("behind a record", [BASELINE, &[0]].concat()),
            ("much behind a record", [BASELINE, &[0xab; 40]].concat()),
            ("a zero byte behind a set", with_sps(|sps| sps.push(0))),
            ("a start code before a set", with_sps(|sps| drop(sps.splice(0..0, [0, 0, 0, 1])))),
            ("an empty set", [&BASELINE[..5], &[0xe2, 0, 0], &BASELINE[6..]].concat()),
            (
                "both sets in one list",
                [&BASELINE[..5], &[0xe2], &BASELINE[6..31], &BASELINE[32..], &[0]].concat(),
            ),
            ("both sets in one", with_sps(|all| all.extend([&[0, 0, 1], pps].concat()))),
            ("annex B", [&[0, 0, 0, 1], sps, &[0, 0, 1], pps, &[0]].concat()),
        ] {
            let config = config(&record);
            let wanted = [&BASELINE[..31], &[1], &BASELINE[32..]].concat();
            if case == "both sets in one" {
                let counted: &[u8] = &config.record;
                assert!(counted.starts_with(&BASELINE[..31]), "{case}");
                continue;
            }
            assert_eq!(config.record, wanted, "{case}");
            assert_eq!((config.width, config.height, config.length_size), (1280, 720, 4), "{case}");
        }
    }

    #[test]
    fn a_set_that_decoders_forgive_is_forgiven() {
        // Level 1, spare bytes that are no zeros, and a VUI that ends early.
        for record in
            [with_sps(|sps| sps[3] = 10), with_sps(|sps| sps.push(0xab)), with_sps(|sps| sps.truncate(17))]
        {
            let config = config(&record);
            assert_eq!((config.width, config.height), (1280, 720), "{record:x?}");
        }
    }

    #[test]
    fn a_record_of_short_lengths_is_written_for_long_ones() {
        let mut short = BASELINE.to_vec();
        short[4] = 0xfd;
        let config = config(&short);
        assert_eq!((config.length_size, &config.record[..]), (2, BASELINE));
    }

    #[test]
    fn frames_are_whole_when_their_lengths_add_up() {
        let config = VideoConfig::parse(VideoCodec::Avc, &Bytes::from_static(RECORD)).expect("a real one");
        for (data, whole) in [
            (&b"\0\0\0\x02ab\0\0\0\x01c"[..], true),
            (b"\0\0\0\x03ab", false),
            (b"\0\0\0", false),
            (b"\xff\xff\xff\xff", false),
            (b"", false),
        ] {
            assert_eq!(config.is_whole(data), whole, "{data:?}");
        }
    }

    #[test]
    fn the_expected_level_grows_with_size_and_rate() {
        assert_eq!(expected_high_codecs(640, 360, 30_000), "avc1.64001e");
        assert_eq!(expected_high_codecs(1280, 720, 30_000), "avc1.64001f");
        assert_eq!(expected_high_codecs(1280, 720, 60_000), "avc1.640020");
    }

    proptest! {
        #[test]
        fn arbitrary_records_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128), cut in 0..RECORD.len(), at in 0..RECORD.len(), flip in any::<u8>()) {
            let _ = VideoConfig::parse(VideoCodec::Avc, &Bytes::from(bytes));
            let mut near = RECORD.to_vec();
            near[at] ^= flip;
            if let Ok(config) = VideoConfig::parse(VideoCodec::Avc, &Bytes::from(near)) {
                let again = VideoConfig::parse(VideoCodec::Avc, &config.record);
                prop_assert_eq!(again, Ok(VideoConfig { length_size: 4, ..config }));
            }
            let _ = VideoConfig::parse(VideoCodec::Avc, &Bytes::from(RECORD[..cut].to_vec()));
        }
    }
}
