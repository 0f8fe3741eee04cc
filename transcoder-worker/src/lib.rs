//! One broadcast: a publisher's RTMP comes in, CMAF parts and segments go out.
//!
//! A worker is one process. It waits for an assignment, takes the publisher's media from a router, packages it, tells
//! readers of its feed about every part at once, and stores what is finished. It calls out to nothing but storage.
//! What media is cut where is decided in `caudal_media`; who is to publish, by the controller. ffmpeg, storage and
//! readers can be slow or gone: the source rendition never waits for any of them.

mod assignment;
mod assignment_desk;
mod attendance;
mod awaited;
mod claim;
mod clock;
mod closing;
mod encoder;
mod feed;
mod ffmpeg;
mod finish;
#[cfg(test)]
mod fixtures;
mod http;
mod input;
mod media_memory;
mod metrics;
mod milestones;
mod outage;
mod parent;
mod poster;
mod prepared;
mod publication;
mod salvage;
mod session;
mod storage_credentials;
mod storage_writer;
mod store_queue;
mod stream_job;
mod worker;

pub use encoder::LadderChoice;
pub use parent::{Parent, parent_gone};
pub use worker::{Config, Error, run};
