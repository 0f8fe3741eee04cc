//! A router between a made-up api, directory and worker, and real RTMP connections.

mod admission;
mod encoders;
mod fake_api;
mod fake_directory;
mod fake_worker;
mod harness;
mod leaving;
mod relaying;
mod takeover;
