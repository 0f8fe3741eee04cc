//! `LiveStream` and `WorkerPool`, the two resources of `caudal.dev/v1alpha1`, and what people read in them.
//!
//! `crates/livestream` stays free of Kubernetes, because workers are built on it too; the words of the resources that are the
//! same there are its own types.
//!
//! * `live_stream`, `worker_pool`, `names` – types and pure functions
//! * `definitions` – how a cluster is told of them
//! * `calls`, `watching` – how operator and directory speak to the API server: so many calls at a time, each with a deadline, and
//!   each watch goes on

pub mod calls;
pub mod definitions;
#[cfg(any(test, feature = "test-servers"))]
pub mod fake_server;
pub mod live_stream;
pub mod names;
#[cfg(any(test, feature = "test-servers"))]
pub mod throw_away_server;
pub mod watching;
pub mod worker_pool;

pub use live_stream::{LiveStream, LiveStreamSpec, LiveStreamStatus, StoredLifecycle};
pub use worker_pool::{WorkerPool, WorkerPoolSpec, WorkerPoolStatus};

#[cfg(test)]
mod crds;
