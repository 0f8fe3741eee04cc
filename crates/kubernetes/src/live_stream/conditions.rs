//! The conditions of a broadcast: questions that people and `kubectl wait` ask, each with its answer and why.

use caudal_livestream::record::{Phase, Status};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// It can be watched, and its publisher is there.
pub const READY: &str = "Ready";
/// A worker has its assignment.
pub const WORKER_ASSIGNED: &str = "WorkerAssigned";
/// Its publisher is there.
pub const PUBLISHING: &str = "Publishing";

/// An administrator has paused it. Said of one that is or was.
pub const PAUSED: &str = "Paused";

/// Why a condition is as it is, in words for programs.
pub mod reasons {
    /// All is well.
    pub const LIVE: &str = "Live";
    /// No worker yet.
    pub const WAITING_FOR_WORKER: &str = "WaitingForWorker";
    /// A worker gets ready, or waits for the first pictures.
    pub const STARTING: &str = "Starting";
    /// The publisher is away and may come back.
    pub const WAITING_FOR_PUBLISHER: &str = "WaitingForPublisher";
    /// The playlists are being closed.
    pub const ENDING: &str = "Ending";
    /// It is over, as somebody wanted.
    pub const ENDED: &str = "Ended";
    /// It is over, and nobody wanted it to be.
    pub const FAILED: &str = "Failed";
    /// A worker has it.
    pub const ASSIGNED: &str = "Assigned";
    /// Media comes.
    pub const CONNECTED: &str = "Connected";
    /// The annotation says so.
    pub const ANNOTATED: &str = "Annotated";
    /// There is no such annotation any more.
    pub const NOT_PAUSED: &str = "NotPaused";
    /// A newer release wrote this phase.
    pub const UNKNOWN: &str = "Unknown";
}

/// What a condition says, without when it began to.
struct Answer {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// The conditions of a broadcast that stands so. One that `before` gave the same answer keeps the time of its last change.
pub(super) fn conditions(
    status: &Status,
    publisher: PublisherIs,
    pause: Pause,
    generation: Option<i64>,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let was_paused = before.iter().any(|known| known.type_ == PAUSED);
    let pause = (pause == Pause::Paused || was_paused).then(|| paused(pause));
    [ready(status, publisher), worker_assigned(status), publishing(status, publisher)]
        .into_iter()
        .chain(pause)
        .map(|answer| {
            let known =
                before.iter().find(|known| known.type_ == answer.kind && known.status == answer.status);
            Condition {
                type_: answer.kind.to_owned(),
                status: answer.status.to_owned(),
                reason: answer.reason.to_owned(),
                message: answer.message,
                observed_generation: generation,
                last_transition_time: known.map_or(Time(now), |known| known.last_transition_time.clone()),
            }
        })
        .collect()
}

/// Where a publisher is, as far as its broadcast knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublisherIs {
    /// It left, and may come back.
    Away,
    /// It is there, or on its way.
    NotAway,
}

/// Whether an administrator has paused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    Paused,
    NotPaused,
}

fn ready(status: &Status, publisher: PublisherIs) -> Answer {
    let said = status.reason.clone();
    let begins = matches!(status.phase, Phase::Pending | Phase::Starting);
    let (answer, reason, otherwise) = match status.phase {
        Phase::Live => {
            // What it waits for keeps nobody from watching what there is.
            let can = if status.worker.is_some() {
                "viewers can watch it"
            } else {
                "viewers can watch what there is"
            };
            let message = said.map_or_else(|| can.to_owned(), |said| format!("{can}; {said}"));
            return Answer { kind: READY, status: "True", reason: reasons::LIVE, message };
        }
        _ if begins && publisher == PublisherIs::Away => {
            ("False", reasons::WAITING_FOR_PUBLISHER, "waiting for the publisher")
        }
        _ if begins && status.worker.is_none() => {
            ("False", reasons::WAITING_FOR_WORKER, "waiting for a worker")
        }
        Phase::Pending | Phase::Starting => ("False", reasons::STARTING, "waiting for the first pictures"),
        Phase::Reconnecting => ("False", reasons::WAITING_FOR_PUBLISHER, "waiting for the publisher"),
        Phase::Ending => ("False", reasons::ENDING, "its playlists are being closed"),
        Phase::Ended => ("False", reasons::ENDED, "it is over"),
        Phase::Failed => ("False", reasons::FAILED, "it is over"),
        Phase::Unknown => ("Unknown", reasons::UNKNOWN, "a newer release wrote its phase"),
    };
    Answer { kind: READY, status: answer, reason, message: said.unwrap_or_else(|| otherwise.to_owned()) }
}

fn worker_assigned(status: &Status) -> Answer {
    let (answer, reason, message) = match (&status.worker, status.phase) {
        (Some(worker), _) => {
            ("True", reasons::ASSIGNED, format!("worker {} has epoch {}", worker.worker, status.epoch))
        }
        (None, Phase::Ended) => ("False", reasons::ENDED, "it needs no worker any more".to_owned()),
        (None, Phase::Failed) => ("False", reasons::FAILED, "it needs no worker any more".to_owned()),
        (None, Phase::Unknown) => ("Unknown", reasons::UNKNOWN, "a newer release wrote its phase".to_owned()),
        (None, _) => {
            let why = status.no_worker.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let message = format!("looking for a worker for epoch {}{why}", status.epoch);
            ("False", reasons::WAITING_FOR_WORKER, message)
        }
    };
    Answer { kind: WORKER_ASSIGNED, status: answer, reason, message }
}

fn publishing(status: &Status, publisher: PublisherIs) -> Answer {
    let (answer, reason, message) = match status.phase {
        Phase::Live if status.worker.is_none() => {
            ("Unknown", reasons::WAITING_FOR_WORKER, "no worker has it that could tell")
        }
        Phase::Pending | Phase::Starting if publisher == PublisherIs::Away => {
            ("False", reasons::WAITING_FOR_PUBLISHER, "the publisher is away and may come back")
        }
        Phase::Live => ("True", reasons::CONNECTED, "media comes"),
        // The router has it, and nobody has heard of its media yet.
        Phase::Pending | Phase::Starting => {
            ("Unknown", reasons::STARTING, "no worker has had media of it yet")
        }
        Phase::Reconnecting => {
            ("False", reasons::WAITING_FOR_PUBLISHER, "the publisher is away and may come back")
        }
        Phase::Ending => ("False", reasons::ENDING, "no publisher is taken any more"),
        Phase::Ended => ("False", reasons::ENDED, "no publisher is taken any more"),
        Phase::Failed => ("False", reasons::FAILED, "no publisher is taken any more"),
        Phase::Unknown => ("Unknown", reasons::UNKNOWN, "a newer release wrote its phase"),
    };
    Answer { kind: PUBLISHING, status: answer, reason, message: message.to_owned() }
}

fn paused(pause: Pause) -> Answer {
    let (status, reason, message) = match pause {
        Pause::Paused => (
            "True",
            reasons::ANNOTATED,
            "it is not moved, and its LiveStream is neither released nor removed, until caudal.dev/paused is taken off",
        ),
        Pause::NotPaused => {
            ("False", reasons::NOT_PAUSED, "the operator does with it whatever is to be done")
        }
    };
    Answer { kind: PAUSED, status, reason, message: message.to_owned() }
}
