#![no_main]

use tokio::runtime::Builder;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Deadlines pass as soon as nothing else is left to do.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(caudal_service::fuzzing::http_first_bytes(data));
});
