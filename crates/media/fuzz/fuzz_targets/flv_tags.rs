#![no_main]
//! VIDEODATA and AUDIODATA bodies.

use bytes::Bytes;
use caudal_media::flv::{AudioTag, VideoTag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let _ = VideoTag::parse(&body);
    let _ = AudioTag::parse(&body);
});
