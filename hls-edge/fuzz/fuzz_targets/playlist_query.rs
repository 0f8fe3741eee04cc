#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caudal_hls_edge::fuzzing::playlist_query(data));
