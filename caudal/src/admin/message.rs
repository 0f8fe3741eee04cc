//! What is asked and answered: one line of JSON each.

use caudal_livestream::record::Phase;
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
    /// Say which broadcasts there are.
    Streams {},
    /// Say which workers there are.
    Workers {},
    /// Make somebody an admin, or take that away.
    SetRole {
        /// The person's username.
        name: String,
        /// Whether they are to be one.
        admin: bool,
    },
    /// Make a link to a new password.
    ResetPassword {
        /// The person's username or email address.
        name: String,
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
        /// The old worker ended before it had handed over and closed.
        stepped_in: bool,
        /// How much of the media is missing where the worker went on for the old one; none where it has not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost_ms: Option<u64>,
        /// From the request on.
        took_ms: u64,
    },
    /// All broadcasts that the controller knows, those of the last ten minutes included.
    Streams {
        /// Each of them, the oldest first.
        streams: Vec<ListedStream>,
    },
    /// All workers that run.
    Workers {
        /// Each of them, the oldest first.
        workers: Vec<ListedWorker>,
    },
    /// It is so now.
    Told {
        /// What came of it, in words for the operator.
        words: String,
    },
    /// Whoever opens it sets a new password.
    ResetLink {
        /// A secret, as good as the password.
        link: String,
    },
    /// The stream has left its worker, and all is not well; in words for the operator.
    Failed {
        /// Why.
        reason: String,
    },
    /// Nothing of it, in words for the operator.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A broadcast and who carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedStream {
    /// Its id.
    pub stream: StreamId,
    /// The streamer's username.
    pub channel: String,
    /// Where it stands.
    pub phase: Phase,
    /// The worker's assignment.
    pub epoch: Epoch,
    /// The epoch that a planned move goes to.
    pub next: Option<Epoch>,
    /// The worker, as the log names it.
    pub worker: Option<WorkerId>,
    /// The worker's process.
    pub pid: Option<u32>,
}

/// A worker and whom it works for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedWorker {
    /// Its id, as the log names it.
    pub worker: WorkerId,
    /// Its process.
    pub pid: Option<u32>,
    /// The broadcast that it was claimed for; none while it waits for one.
    pub stream: Option<StreamId>,
    /// The assignment that it was claimed for.
    pub epoch: Option<Epoch>,
}
