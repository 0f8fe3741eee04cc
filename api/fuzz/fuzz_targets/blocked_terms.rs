#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caudal_api::fuzzing::blocked_terms(data));
