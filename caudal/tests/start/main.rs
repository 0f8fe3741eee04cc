//! Starts that cannot work, with the real program: what it says, and with which status it ends.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of tests fail as tests do"
)]

mod admin;
mod database;
mod doctor;
mod folders;
mod janitor;
mod keys;
mod logs;
mod program;
mod roles;
mod settings;
