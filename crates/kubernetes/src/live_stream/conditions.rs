//! The conditions of a broadcast: three questions that people and `kubectl wait` ask, each with its answer and why.

use caudal_livestream::record::{Phase, Status};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// It can be watched, and its publisher is there.
pub const READY: &str = "Ready";
/// A worker has its assignment.
pub const WORKER_ASSIGNED: &str = "WorkerAssigned";
/// Its publisher is there.
pub const PUBLISHING: &str = "Publishing";

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
    generation: Option<i64>,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    [ready(status), worker_assigned(status), publishing(status)]
        .into_iter()
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

fn ready(status: &Status) -> Answer {
    let said = status.reason.clone();
    let (answer, reason, otherwise) = match status.phase {
        Phase::Live => ("True", reasons::LIVE, "viewers can watch it"),
        Phase::Pending => ("False", reasons::WAITING_FOR_WORKER, "waiting for a worker"),
        Phase::Starting => ("False", reasons::STARTING, "waiting for the first pictures"),
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

fn publishing(status: &Status) -> Answer {
    let (answer, reason, message) = match status.phase {
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
