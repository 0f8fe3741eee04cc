#![no_main]
//! avcC, hvcC and AudioSpecificConfig; the first byte chooses.

use bytes::Bytes;
use caudal_media::codec::VideoConfig;
use caudal_media::codec::aac::AacConfig;
use caudal_media::flv::VideoCodec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, record)) = data.split_first() else { return };
    let record = Bytes::copy_from_slice(record);
    match kind % 3 {
        0 => video(VideoCodec::Avc, &record),
        1 => video(VideoCodec::Hevc, &record),
        _ => {
            if let Ok(config) = AacConfig::parse(&record) {
                assert!(!config.silent_frame().is_empty());
            }
        }
    }
});

/// What is written of a record says what the record says.
fn video(codec: VideoCodec, record: &Bytes) {
    if let Ok(mut config) = VideoConfig::parse(codec, record) {
        let again = VideoConfig::parse(codec, &config.record);
        config.length_size = 4;
        assert_eq!(again, Ok(config));
    }
}
