//! What comes of a planned move.

use std::time::Duration;

use caudal_livestream::lifecycle::{MoveFailure, MoveRefusal};
use caudal_livestream::{Epoch, WorkerId};
use thiserror::Error;

/// A stream is on another worker, and that has announced media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The worker that had it.
    pub from: WorkerId,
    /// The worker that has it.
    pub to: WorkerId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The old worker ended before it had handed over and closed, so that viewers may have seen a hitch.
    pub stepped_in: bool,
    /// How much of the publisher's media is missing where the next worker went on, in milliseconds; none where that worker has
    /// not said.
    pub lost_ms: Option<u64>,
    /// From the request on.
    pub took: Duration,
}

/// Why a stream is not where it was to go. Displays as words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MoveError {
    /// There is no such stream.
    #[error("there is no such stream")]
    Unknown,
    /// It cannot be moved now.
    #[error(transparent)]
    Refused(#[from] MoveRefusal),
    /// The move was begun, and given up.
    #[error(transparent)]
    Failed(#[from] MoveFailure),
    /// The next worker did not get ready; in its words, if it answered.
    #[error("the next worker could not get ready: {0}; the stream stays where it is")]
    NotReady(String),
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
}

impl MoveError {
    /// See [`MoveFailure::has_left`].
    pub fn has_left(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.has_left())
    }
}
