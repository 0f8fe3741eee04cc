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
        0 => {
            let _ = VideoConfig::parse(VideoCodec::Avc, &record);
        }
        1 => {
            let _ = VideoConfig::parse(VideoCodec::Hevc, &record);
        }
        _ => {
            if let Ok(config) = AacConfig::parse(&record) {
                assert!(!config.silent_frame().is_empty());
            }
        }
    }
});
