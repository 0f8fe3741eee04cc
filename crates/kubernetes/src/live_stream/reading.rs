//! What a resource says, to whoever drives broadcasts and to whoever follows them.

use caudal_livestream::StreamId;
use caudal_livestream::lifecycle::Lifecycle;
use caudal_livestream::record::{self, DesiredState, Status, WorkerAddress};
use caudal_livestream::report::EndReason;
use k8s_openapi::jiff::Timestamp;

use super::conditions::PAUSED;
use super::words::micro_time;
use super::{Incomplete, LiveStream, LiveStreamStatus, NextWorker, StoredLifecycle, Worker};
use crate::names;

impl LiveStream {
    /// Whose resource this is; none when its name is not that stream's.
    pub fn stream(&self) -> Option<StreamId> {
        let named = self.metadata.name.as_deref().and_then(names::stream_of);
        named.filter(|stream| *stream == self.spec.stream)
    }

    /// Its `resourceVersion`, which grows with each change.
    pub fn version(&self) -> Option<u64> {
        self.metadata.resource_version.as_deref()?.parse().ok()
    }

    /// Whether somebody has deleted it. A finalizer may hold it still.
    pub fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// When a broadcast ended that nothing is left to be done for; none of any other. The operator has then taken its finalizer and its
    /// record off, and left what people read.
    pub fn memento_since(&self) -> Option<Timestamp> {
        let status = self.status.as_ref().filter(|status| status.lifecycle.is_none())?;
        let ended = status.ended_at.as_ref().filter(|_| status.phase.is_over() && !names::is_held(self))?;
        Some(ended.0)
    }

    /// Whether what people read says what the operator's record does. What it says of times and places besides is for people alone.
    pub fn shows(&self, machine: &Lifecycle) -> bool {
        let Some(status) = &self.status else { return false };
        let (read, is) = (status.to_record(), machine.status(None));
        let says_paused = status.conditions.iter().any(|one| one.type_ == PAUSED && one.status == "True");
        says_paused == names::is_paused(self)
            && read.phase == is.phase
            && read.epoch == is.epoch
            && read.worker == is.worker
            && read.next == is.next
            && read.without_replay == is.without_replay
            && read.started_at == is.started_at
            && read.ended_at == is.ended_at
            && read.end_reason == is.end_reason
    }

    /// Makes what people read say what the operator's record says, where somebody has written over it: only the record is the truth. What
    /// another release's operator shows of a record that cannot be read is believed, and an end that nobody has recorded is not.
    pub fn straighten(&mut self) {
        let memento = self.memento_since().is_some();
        let Some(status) = &mut self.status else { return };
        let is = match status.lifecycle.as_ref().map(StoredLifecycle::read) {
            Some(Ok(machine)) => machine.status(None),
            None if status.phase.is_over() && !memento => Status::default(),
            Some(Err(_)) | None => return,
        };
        let known: Vec<_> =
            status.worker.take().into_iter().chain(status.next.take().map(|next| next.worker)).collect();
        let worker = |address: WorkerAddress| {
            let known = known.iter().find(|known| known.id == address.worker).cloned();
            let WorkerAddress { worker: id, rtmp, http } = address;
            Worker { rtmp, http, ..known.unwrap_or(Worker { id, pod: None, node: None, rtmp, http }) }
        };
        status.phase = is.phase;
        status.deadline = is.deadline.map(micro_time);
        status.epoch = is.epoch;
        status.worker = is.worker.map(worker);
        status.next = is.next.map(|next| NextWorker { epoch: next.epoch, worker: worker(next.address) });
        status.without_replay = is.without_replay;
        status.started_at = is.started_at.map(micro_time);
        status.ended_at = is.ended_at.map(micro_time);
        status.end_reason = is.end_reason;
        status.reason = is.reason;
    }

    /// What is wanted of the broadcast. A deletion reads as an end.
    ///
    /// # Errors
    /// [`Incomplete`] for one that was ended before it was created.
    pub fn wanted(&self) -> Result<record::Spec, Incomplete> {
        let mut spec = self.spec.to_record()?;
        if self.is_being_deleted() {
            spec.desired_state = DesiredState::Ended;
            spec.end_reason.get_or_insert(EndReason::EndedByOwner);
        }
        Ok(spec)
    }

    /// The broadcast as the other roles know it.
    ///
    /// # Errors
    /// [`Incomplete`] for one that was ended before it was created.
    pub fn to_record(&self) -> Result<record::LiveStream, Incomplete> {
        let status = self.status.as_ref().map_or_else(Status::default, LiveStreamStatus::to_record);
        Ok(record::LiveStream { spec: self.wanted()?, status })
    }
}
