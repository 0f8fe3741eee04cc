//! The packager from outside: tags in, parts and events out.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what a test's reader misses fails the test"
)]

mod clocks;
mod lagging_rungs;
mod late_video;
mod lead_in;
mod properties;
mod publisher;
mod real_encoders;
mod recorder;
mod repeated_loss;
mod replay_age;
mod resumed_clocks;
mod resumption;
mod rules;
mod rungs;
mod sounds;
mod source_kinds;
mod still_pictures;
mod units;
mod unplayable;
mod year;
