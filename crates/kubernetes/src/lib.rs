//! `LiveStream` and `WorkerPool`, the two resources of `caudal.dev/v1alpha1`, and what people read in them.
//!
//! Types and pure functions only: nothing here speaks to a server. `crates/livestream` stays free of Kubernetes, because
//! workers and routers are built on it too; the words of the resources that are the same there are its own types.

pub mod live_stream;
pub mod names;
pub mod worker_pool;

pub use live_stream::{LiveStream, LiveStreamSpec, LiveStreamStatus, StoredLifecycle};
pub use worker_pool::{WorkerPool, WorkerPoolSpec, WorkerPoolStatus};

#[cfg(test)]
mod crds;
