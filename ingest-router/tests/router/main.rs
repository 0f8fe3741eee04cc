//! A router between a made-up api, directory and worker, and real RTMP connections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod admission;
mod draining;
mod encoders;
mod fake_api;
mod fake_directory;
mod fake_worker;
mod harness;
mod leaving;
mod moving;
mod proxies;
#[path = "../../../api/tests/it/redis_server.rs"]
mod redis_server;
mod relaying;
mod replicas;
mod rtmps;
mod secrecy;
mod strangers;
mod takeover;
mod written_log;
