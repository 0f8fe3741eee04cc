//! What people and the other roles read of a broadcast, made from the operator's record of it.

use caudal_livestream::WorkerId;
use caudal_livestream::lifecycle::Lifecycle;
use caudal_livestream::record::{self, MediaInfo, WorkerAddress};
use k8s_openapi::jiff::Timestamp;

use super::conditions::{Pause, PublisherIs, conditions};
use super::words::{micro_time, unix_millis};
use super::{LiveStreamStatus, Media, NextWorker, StoredLifecycle, Worker};

/// Where a worker is, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its pod.
    pub pod: Option<String>,
    /// The node that the pod is on.
    pub node: Option<String>,
}

/// All that a status is made from.
pub struct Seen<'a> {
    /// The operator's record.
    pub machine: &'a Lifecycle,
    /// The generation of the spec that the machine has heard of.
    pub generation: Option<i64>,
    /// The router's part, as it stands.
    pub media: Option<&'a Media>,
    /// Where viewers find the broadcast.
    pub playback: Option<&'a str>,
    /// Where workers are.
    pub place: &'a dyn Fn(WorkerId) -> Place,
    /// Whether an administrator has paused it.
    pub paused: bool,
    /// The status that this one replaces.
    pub before: Option<&'a LiveStreamStatus>,
    /// The time of conditions that change.
    pub now: Timestamp,
}

impl LiveStreamStatus {
    /// The status of a broadcast that stands so: the same for the same, so that what has not changed is not written again.
    ///
    /// # Errors
    /// Cannot happen with a machine.
    pub fn of(seen: &Seen<'_>) -> Result<Self, serde_json::Error> {
        let status = seen.machine.status(None);
        let before = seen.before.map(|before| before.conditions.as_slice()).unwrap_or_default();
        let away = seen.machine.publisher_is_away();
        let publisher = if away { PublisherIs::Away } else { PublisherIs::NotAway };
        let pause = if seen.paused { Pause::Paused } else { Pause::NotPaused };
        let worker = |address: WorkerAddress| {
            let Place { pod, node } = (seen.place)(address.worker);
            Worker { id: address.worker, pod, node, rtmp: address.rtmp, http: address.http }
        };
        Ok(Self {
            observed_generation: seen.generation,
            phase: status.phase,
            deadline: status.deadline.map(micro_time),
            epoch: status.epoch,
            worker: status.worker.map(worker),
            next: status.next.map(|next| NextWorker { epoch: next.epoch, worker: worker(next.address) }),
            without_replay: status.without_replay,
            playback: seen.playback.map(str::to_owned),
            media: seen.media.cloned(),
            started_at: status.started_at.map(micro_time),
            ended_at: status.ended_at.map(micro_time),
            end_reason: status.end_reason,
            conditions: conditions(&status, publisher, pause, seen.generation, before, seen.now),
            reason: status.reason,
            lifecycle: Some(StoredLifecycle::of(seen.machine)?),
        })
    }

    /// As the other roles know it.
    pub fn to_record(&self) -> record::Status {
        let address =
            |worker: &Worker| WorkerAddress { worker: worker.id, rtmp: worker.rtmp, http: worker.http };
        record::Status {
            phase: self.phase,
            deadline: self.deadline.as_ref().map(unix_millis),
            epoch: self.epoch,
            worker: self.worker.as_ref().map(address),
            next: self
                .next
                .as_ref()
                .map(|next| record::NextWorker { address: address(&next.worker), epoch: next.epoch }),
            no_worker: None,
            without_replay: self.without_replay,
            media: self.media.as_ref().map(MediaInfo::from),
            started_at: self.started_at.as_ref().map(unix_millis),
            ended_at: self.ended_at.as_ref().map(unix_millis),
            end_reason: self.end_reason,
            reason: self.reason.clone(),
        }
    }
}
