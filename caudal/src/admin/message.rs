//! What is asked and answered: one line of JSON each.

use caudal_livestream::{Epoch, StreamId, WorkerId};
use serde::{Deserialize, Serialize};

/// What the platform is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Take a stream to another worker.
    Move {
        /// The stream.
        stream: StreamId,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The stream is on another worker.
    #[serde(rename_all = "camelCase")]
    Moved {
        /// The worker that had it.
        from: WorkerId,
        /// The worker that has it.
        to: WorkerId,
        /// Its epoch.
        epoch: Epoch,
        /// The old worker died before it could hand over.
        stepped_in: bool,
        /// From the request on.
        took_ms: u64,
    },
    /// Nothing of it, in words for the operator.
    Refused {
        /// Why.
        reason: String,
    },
}
