//! How the controller speaks to a worker.

use std::time::Duration;

use caudal_livestream::assignment::Floor;
use caudal_livestream::credentials::SealingPublicKey;
use caudal_livestream::feed::InputState;
use caudal_livestream::proof::{Proof, SignedAssignment, SignedRenewal};
use caudal_livestream::record::WorkerAddress;
use futures::future::BoxFuture;
use thiserror::Error;

/// The way to workers: HTTP, or a test's.
pub trait WorkerLink: Send + Sync + 'static {
    /// Sends a worker its assignment.
    ///
    /// # Errors
    /// [`NotAssigned`], which says whether the same again may help.
    fn assign<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        assignment: &'a SignedAssignment,
    ) -> BoxFuture<'a, Result<(), NotAssigned>>;

    /// What a worker's storage credentials are to be sealed to; none for a worker that has its own.
    ///
    /// # Errors
    /// [`NotAssigned`], as for an assignment.
    fn key<'a>(
        &'a self,
        worker: &'a WorkerAddress,
    ) -> BoxFuture<'a, Result<Option<SealingPublicKey>, NotAssigned>>;

    /// Sends a worker new storage credentials.
    ///
    /// # Errors
    /// [`NotAssigned`], as for an assignment.
    fn renew<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        renewal: &'a SignedRenewal,
    ) -> BoxFuture<'a, Result<(), NotAssigned>>;

    /// Opens what a worker announces. It begins with how things stand.
    ///
    /// # Errors
    /// When it does not answer, or does not accept `proof`.
    fn follow<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        proof: &'a Proof,
    ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>>;
}

/// What one worker announces, in order. Dropping it ends the connection.
pub trait Announcements: Send + 'static {
    /// The next one; none once the worker has said that nothing follows. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When nothing comes for [`FEED_SILENCE`], or nothing can come any more.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Announcement>, LinkLost>>;
}

/// Something that a worker says to its controller.
#[derive(Clone, Debug, PartialEq)]
pub enum Announcement {
    /// It is there.
    Alive,
    /// So is its publisher.
    Input(InputState),
    /// The stream's first part, or another whole segment, was announced, and everything announced ends here.
    Floor(Floor),
    /// Parts were announced since, up to here.
    Reached(Floor),
    /// Nothing will follow.
    End,
    /// The worker has closed this connection in good order, as one does that is ending. Nothing follows on it.
    Closed,
}

/// Why an assignment was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAssigned {
    /// This proves nothing against the worker: the assignment may have been taken, and then taking it again changes nothing, or
    /// could not be sent as it should be.
    #[error("{0}")]
    Unsettled(String),
    /// It could not be sent: no connection was made in time. The same again would take as long, and a worker whose machine is gone
    /// never answers.
    #[error("{0}")]
    Unconnected(String),
    /// The worker's process ended first.
    #[error("its process ended")]
    Gone,
    /// This worker will not take it, or not now.
    #[error("{0}")]
    Refused(String),
}

/// A worker is not heard any more on this connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct LinkLost(pub String);

/// ARCHITECTURE §3.8: three missed heartbeats are a lost worker.
pub const FEED_SILENCE: Duration = Duration::from_secs(3);
