//! How a move may end, and why one may not begin, in words for the operator.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use super::planned_move::{ARRIVAL_MS, MOVE_MS};
use crate::{Epoch, WorkerId};

/// Who wanted a move. Displays as words for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MoveAskedBy {
    /// The stream's worker, which was told to go.
    Worker,
    /// An administrator; or whoever another release knows of.
    #[default]
    #[serde(other)]
    Administrator,
}

impl fmt::Display for MoveAskedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "the worker, which was told to go",
            Self::Administrator => "an administrator",
        })
    }
}

/// How the last move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastMove {
    /// Who wanted it.
    #[serde(default)]
    pub asked_by: MoveAskedBy,
    /// The worker that had the stream. Nil where the release before has written this and did not say.
    #[serde(default = "not_said")]
    pub from: WorkerId,
    /// Its epoch; 0 for the same reason.
    #[serde(default)]
    pub from_epoch: Epoch,
    /// The epoch that was meant for the next worker.
    pub epoch: Epoch,
    /// What came of it.
    pub end: MoveEnd,
}

fn not_said() -> WorkerId {
    WorkerId(Uuid::nil())
}

/// What another release says of it in words that this one does not know is not worth a stream: then there was no move.
pub(super) fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LastMove>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

/// What came of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "end")]
pub enum MoveEnd {
    /// The next worker has announced media.
    #[serde(rename_all = "camelCase")]
    Moved {
        /// The worker that has it.
        to: WorkerId,
        /// True when the old worker ended before it had handed over and closed, so that viewers may have seen a hitch.
        stepped_in: bool,
        /// What the next worker has said by then of [`seam_lost_ms`](crate::feed::InputState::seam_lost_ms).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost_ms: Option<u64>,
    },
    /// The stream is not where it was to go.
    Failed {
        /// Why.
        failure: MoveFailure,
    },
}

/// Why a move was given up. Displays as words for the operator.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MoveFailure {
    /// No worker was ready in time.
    #[error("no other worker was ready within {} s; the stream stays where it is", MOVE_MS / 1000)]
    NoWorker,
    /// The router did not switch in time.
    #[error("no keyframe came, or the router did not switch, within {} s; the stream stays where it is", MOVE_MS / 1000)]
    NoSwitch,
    /// The next worker did not get ready, for want of a storage that it can write to for example.
    #[error("the next worker could not get ready; the stream stays where it is")]
    NextWorkerNotReady,
    /// The next worker ended before the switch.
    #[error("the next worker was lost before it could take the stream; the move was given up")]
    NextWorkerLost,
    /// Routers cannot relay to the next worker.
    #[error("the router cannot reach the next worker; the stream stays where it is")]
    NextWorkerUnreachable,
    /// The old worker ended before another was found.
    #[error("the stream's worker was lost before another one was found; the stream is being given one")]
    OldWorkerLost,
    /// The publisher went away before the switch.
    #[error("the publisher left meanwhile; the stream stays where it is")]
    PublisherLost,
    /// The next worker ended behind the switch.
    #[error("the next worker was lost after it had taken the stream; another one is being given to it")]
    LostAfterTheSwitch,
    /// The publisher went away before the next worker, which has the stream, had media of it.
    #[error(
        "the publisher left before the new worker, which has the stream, had media of it; the stream stays with it"
    )]
    PublisherLostBehindTheSwitch,
    /// The next worker has the stream and the publisher, and has announced nothing.
    #[error("the new worker has the stream, and announced nothing of it within {} s; the stream stays with it", ARRIVAL_MS / 1000)]
    NothingAnnounced,
    /// Both workers ended before the old one had handed over and closed.
    #[error("both workers were lost in the middle of the move; the stream is being given another one")]
    BothLost,
    /// The broadcast is ending.
    #[error("the broadcast ended meanwhile")]
    Ended,
    /// The controller was started anew in the middle.
    #[error("the controller was started anew meanwhile")]
    ControllerRestarted,
    /// Something that this release does not know.
    #[error("the move was given up")]
    #[serde(other)]
    Unknown,
}

impl MoveFailure {
    /// Whether the stream has left the worker that it had: that it was not moved would not be true.
    pub fn has_left(self) -> bool {
        match self {
            Self::OldWorkerLost
            | Self::LostAfterTheSwitch
            | Self::PublisherLostBehindTheSwitch
            | Self::NothingAnnounced
            | Self::BothLost
            | Self::ControllerRestarted => true,
            Self::NoWorker
            | Self::NoSwitch
            | Self::NextWorkerNotReady
            | Self::NextWorkerLost
            | Self::NextWorkerUnreachable
            | Self::PublisherLost
            | Self::Ended
            | Self::Unknown => false,
        }
    }
}

/// Why a stream cannot be moved now. Displays as words for the operator.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MoveRefusal {
    /// It is ending or over.
    #[error("the broadcast is ending or over")]
    Over,
    /// A move is going on.
    #[error("the stream is being moved already, to epoch {0}")]
    UnderWay(Epoch),
    /// It has no worker that could hand over.
    #[error("the stream has no worker at present; it is being given one")]
    NoWorker,
    /// Nothing can be watched yet.
    #[error("nothing of the stream can be watched yet")]
    NotStarted,
    /// Nobody publishes.
    #[error("the publisher is away, and a move needs a keyframe of it")]
    NoPublisher,
    /// The worker is new, and the publisher has not reached it.
    #[error("the stream has just been given a worker, and the publisher has not reached that yet")]
    NotRelayed,
}
