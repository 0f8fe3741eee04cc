//! The operator: what drives streams on Kubernetes. Records are `LiveStream` resources, workers are pods, pools are
//! `WorkerPool` resources; the lifecycle itself is `crates/controller`, the same as on one machine.
//!
//! What is made of a resource is decided by pure functions (`build`, `records::reading`, `pods::WorkerPod`); only
//! [`LiveStreams`] and [`PodWorkers`] speak to the API server, through `caudal_kubernetes::calls`, which gives every call a
//! deadline.

mod build;
mod closed_pools;
mod departures;
mod drain;
mod events;
mod janitor;
mod leadership;
mod lease;
mod letting_go;
mod metrics;
mod mislabelled;
mod moves;
mod nodes;
mod orphans;
mod pages;
mod pauses;
mod pods;
mod pools;
mod records;
mod refill;
mod run;
mod server_clock;
mod stream_sessions;
mod uninstall;
mod upgrade;
#[cfg(test)]
mod warnings;
mod workers;

pub use build::{BucketCredentials, PodSettings, Storage, WorkerTraces, warm};
pub use caudal_kubernetes::calls::Failure;
pub use janitor::{Janitor, JanitorError, Mode, Swept};
pub use lease::Term;
pub use metrics::Metrics;
pub use pods::{Pods, WorkerPod};
pub use pools::Pools;
pub use records::{LiveStreams, RecordSettings};
pub use run::{Config, END_WITHIN, Error, run};
pub use uninstall::{UninstallError, uninstall};
pub use workers::{Owners, PodWorkers, Progress};
