//! A webhook from anybody: its signature, and what it says once that is taken for good.

#![no_main]

use caudal_billing::stripe::{Event, sign, verify};

libfuzzer_sys::fuzz_target!(|input: (&str, &[u8])| {
    let (header, body) = input;
    let now = Default::default();
    let secrets = [b"whsec".as_slice()];
    // Nobody guesses a signature.
    assert!(verify(header, body, &secrets, now).is_err() || header.contains(&sign(b"whsec", body, now)));
    if let Ok(Event { about: Some(about), .. }) = Event::read(body) {
        assert!(!about.id.contains(['/', '?', '#', '.']), "it becomes part of a path");
    }
});
