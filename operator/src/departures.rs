//! Broadcasts that the operator moves of its own accord: begins their moves, says what comes of them, and when to try again.

mod plan;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use caudal_controller::{Controller, MoveError, Moved};
use caudal_livestream::StreamId;
use kube::runtime::events::EventType;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::events::Notices;
use crate::nodes::Emptied;
use crate::records::LiveStreams;
pub(crate) use plan::Attempt;
use plan::{End, Plan};

/// A broadcast that is to leave its worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaving {
    pub(crate) stream: StreamId,
    pub(crate) why: Why,
}

/// Why a broadcast is to leave its worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Why {
    /// The worker is on a node that is being emptied.
    Node { node: String, emptied: Emptied },
    /// The worker was made from something else than its pool's workers are made from now.
    Outdated { pool: String },
}

/// The moves of one kind, by whoever leads.
pub(crate) struct Departures {
    streams: LiveStreams,
    controller: Arc<Controller>,
    notices: Notices,
    plan: Plan,
    moving: JoinSet<(Leaving, Result<Moved, MoveError>)>,
}

impl Departures {
    pub(crate) fn new(streams: LiveStreams, controller: Arc<Controller>, notices: Notices) -> Self {
        Self { streams, controller, notices, plan: Plan::default(), moving: JoinSet::new() }
    }

    /// Those of `there`, all broadcasts that are to leave, that may begin now, in the order of their turns.
    pub(crate) fn due(&mut self, there: Vec<Leaving>) -> Vec<(Leaving, Attempt)> {
        self.plan.due(there, Instant::now())
    }

    /// The broadcasts that are being moved.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.plan.under_way()
    }

    /// Begins a move.
    pub(crate) fn begin(&mut self, leaving: Leaving, attempt: Attempt) {
        let Leaving { stream, why } = &leaving;
        if attempt.is_first() {
            tracing::info!(%stream, %why, "a broadcast is to leave its worker");
            self.say(*stream, EventType::Normal, why.leaves(), &format!("leaves {why}"));
        }
        self.plan.begun(*stream);
        let controller = Arc::clone(&self.controller);
        self.moving.spawn(async move {
            let moved = controller.move_stream(leaving.stream).await;
            (leaving, moved)
        });
    }

    /// Takes in for so long what comes of moves.
    pub(crate) async fn take_in(&mut self, time: Duration) {
        let over = sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                // A move that panicked keeps its place until another operator leads.
                Some(moved) = self.moving.join_next() => {
                    if let Ok((leaving, outcome)) = moved {
                        self.ended(&leaving, &outcome);
                    }
                }
                () = &mut over => return,
            }
        }
    }

    fn ended(&mut self, leaving: &Leaving, outcome: &Result<Moved, MoveError>) {
        let end = End::of(outcome);
        let pause = self.plan.ended(leaving.stream, end, Instant::now());
        let Err(error) = outcome else { return };
        let Leaving { stream, why } = leaving;
        if end == End::NotNow {
            tracing::debug!(%stream, %why, %error, "a broadcast cannot leave its worker now");
            return;
        }
        tracing::warn!(%stream, %why, %error, ?pause, "a broadcast could not leave its worker; trying again after a pause");
        // Without the pause: the same words again are counted by one Event.
        let words = format!("cannot leave {why}: {error}; this is tried again");
        self.say(*stream, EventType::Warning, why.cannot_leave(), &words);
    }

    fn say(&self, stream: StreamId, type_: EventType, reason: &str, words: &str) {
        self.notices.tell_of_move(&self.streams, stream, type_, reason, words);
    }
}

impl Why {
    /// The reason of the Event that says that a broadcast leaves.
    fn leaves(&self) -> &'static str {
        match self {
            Self::Node { .. } => "LeavesNode",
            Self::Outdated { .. } => "LeavesOutdatedWorker",
        }
    }

    /// The reason of the Event that says that it could not.
    fn cannot_leave(&self) -> &'static str {
        match self {
            Self::Node { .. } => "CannotLeaveNode",
            Self::Outdated { .. } => "CannotLeaveOutdatedWorker",
        }
    }
}

/// What is left, and why.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { node, emptied } => write!(f, "node {node}, which is {emptied}"),
            Self::Outdated { pool } => {
                write!(
                    f,
                    "its worker, which was made before the image or the template of pool {pool} changed"
                )
            }
        }
    }
}
