//! Answers that are JSON of some kind, in the place of Stripe's: none panics, and no question is asked for ever.

#![no_main]

use caudal_billing::stripe::{Asked, Reading};
use caudal_billing::{Claim, Rules, Tier, fold};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut reading = Reading::of("sub_1");
    let mut answers = input.split(|byte| *byte == 0);
    loop {
        match reading.next() {
            Asked::Ask(_) => {
                let Some(answer) = answers.next() else { return };
                if reading.take(answer).is_err() {
                    return;
                }
            }
            Asked::Done(fetched) => {
                let Some(fetched) = fetched else { return };
                let snapshot = fetched.snapshot(|_| Some(Tier::Pro));
                let rules = Rules { grace: chrono::TimeDelta::days(11) };
                let _ = fold(None, &snapshot, Claim::First, rules, chrono::DateTime::UNIX_EPOCH);
                return;
            }
        }
    }
});
