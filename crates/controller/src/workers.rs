//! Where the controller gets its workers from.

use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, StreamId, WorkerId};
use futures::future::BoxFuture;
use thiserror::Error;

/// Worker processes: one machine's children, a cluster's pods, or a test's.
pub trait Workers: Send + Sync + 'static {
    /// A worker for this stream and epoch, and nobody else's from now on. The same stream and epoch get the same worker
    /// again for as long as it is well: a controller may be killed between this answer and its being stored. Where it does
    /// not come up, or has fallen silent, the next claim may end it and answer with another one. A claim that is dropped
    /// before it answers may have claimed; [`withdraw_claim`](Self::withdraw_claim) ends what it claimed.
    ///
    /// # Errors
    /// [`ClaimError`]; the controller asks again.
    fn claim(
        &self,
        stream: StreamId,
        epoch: Epoch,
        pool: &Pool,
    ) -> BoxFuture<'static, Result<Claimed, ClaimError>>;

    /// Resolves to [`Presence::Gone`] when this worker's process has ended, and to [`Presence::Unknown`] at once when
    /// nothing is known of it (yet).
    fn exited(&self, worker: WorkerId) -> BoxFuture<'static, Presence>;

    /// Ends this worker, first politely, and resolves to [`Presence::Gone`] when its process has ended; to
    /// [`Presence::Unknown`] at once when nothing is known of it (yet).
    fn release(&self, worker: WorkerId) -> BoxFuture<'static, Presence>;

    /// Ends the worker that was claimed for this stream and epoch, if one was and is still there, also where the claim was
    /// never answered; resolves when it has ended. Nobody claims one for that epoch afterwards.
    fn withdraw_claim(&self, stream: StreamId, epoch: Epoch) -> BoxFuture<'static, ()>;

    /// Ends every worker that was claimed for this stream and is still there, also those whose claim was never
    /// answered, and resolves when they have ended.
    fn withdraw(&self, stream: StreamId) -> BoxFuture<'static, ()>;
}

/// A worker that was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Where it is.
    pub worker: WorkerAddress,
    /// Where it comes from.
    pub start: Start,
}

/// How a worker was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It was there and waited.
    Warm,
    /// It was made for the stream.
    Cold,
}

impl Start {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

/// What is known of a worker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has ended.
    Gone,
    /// Nobody knows now; asking again later may tell.
    Unknown,
}

/// Why there is no worker.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClaimError {
    /// All that there may be are taken, or there is no place for another one.
    #[error("there is no room for a worker: {0}")]
    NoCapacity(String),
    /// Whoever makes workers cannot be asked or does not manage to now.
    #[error("workers are unavailable: {0}")]
    Unavailable(String),
    /// There is a place for one, and it is not there yet.
    #[error("a worker is on its way: {0}")]
    Coming(String),
}

impl ClaimError {
    /// In words for whoever runs the platform.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::NoCapacity(reason) | Self::Unavailable(reason) | Self::Coming(reason) => reason,
        }
    }
}

/// The name of a pool of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool(pub String);

impl Default for Pool {
    fn default() -> Self {
        Self("default".to_owned())
    }
}
