//! H.264: `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1).

use bytes::Bytes;
use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};

use super::{ConfigError, VideoConfig, plausible_fps};
use crate::flv::VideoCodec;

pub(super) fn parse(record: &Bytes) -> Result<VideoConfig, ConfigError> {
    let broken = |what: String| ConfigError::Broken(what);
    let avcc = AvcDecoderConfigurationRecord::try_from(record.as_ref())
        .map_err(|error| broken(format!("avcC: {error:?}")))?;
    let sps = avcc.sequence_parameter_sets().next().ok_or(ConfigError::Truncated)?;
    let sps = sps.map_err(|error| broken(format!("SPS: {error:?}")))?;
    // Three bytes after the NAL header are what the codecs string says.
    let [_, profile, constraints, level] = *sps.first_chunk::<4>().ok_or(ConfigError::Truncated)?;
    let sps = SeqParameterSet::from_bits(RefNal::new(sps, &[], true).rbsp_bits())
        .map_err(|error| broken(format!("SPS: {error:?}")))?;
    let (width, height) = sps.pixel_dimensions().map_err(|error| broken(format!("SPS: {error:?}")))?;
    let timing = sps.vui_parameters.as_ref().and_then(|vui| vui.timing_info.as_ref());
    let fps_milli = timing.and_then(|timing| {
        let ticks = u64::from(timing.num_units_in_tick).checked_mul(2)?;
        let fps = u64::from(timing.time_scale).checked_mul(1000)?.checked_div(ticks)?;
        plausible_fps(u32::try_from(fps).ok()?)
    });
    Ok(VideoConfig {
        codec: VideoCodec::Avc,
        record: record.clone(),
        codecs: format!("avc1.{profile:02x}{constraints:02x}{level:02x}"),
        width,
        height,
        fps_milli,
        length_size: avcc.length_size_minus_one().saturating_add(1),
    })
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
            let _ = VideoConfig::parse(VideoCodec::Avc, &Bytes::from(near));
            let _ = VideoConfig::parse(VideoCodec::Avc, &Bytes::from(RECORD[..cut].to_vec()));
        }
    }
}
