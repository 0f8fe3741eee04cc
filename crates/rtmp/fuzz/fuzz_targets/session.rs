#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caudal_rtmp::fuzzing::session(data));
