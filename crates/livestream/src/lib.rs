//! The life of a broadcast: the lifecycle state machine, and every message that crosses a process.
//!
//! Knows nothing of networks, clocks, storage or Kubernetes. The other crates and roles speak to each other only
//! in the types of this one; the JSON of each is fixed by golden files.

pub mod admission;
pub mod assignment;
pub mod audience;
pub mod credentials;
pub mod feed;
#[cfg(feature = "fixtures")]
pub mod fixtures;
mod ids;
pub mod lifecycle;
mod names;
pub mod proof;
pub mod record;
pub mod report;
pub mod router_session;
pub mod state;
pub mod timeline;

pub use ids::{
    EdgeId, Epoch, Generation, InstallationId, MediaDuration, MediaTime, Msn, PartNumber, SessionId,
    StreamId, UnixMillis, WorkerId,
};
pub use names::{InitHash, InvalidName, RenditionName};
