//! A worker that has lost its stream and still closes what it has. Viewers hear it until another worker has the stream, so
//! the next one begins behind its last word.

use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use super::planned_move::CLOSE_MS;
use super::{Evidence, Lifecycle, Slot};
use crate::assignment::Floor;
use crate::record::WorkerAddress;
use crate::{Epoch, UnixMillis};

/// The stream's last worker, as long as it may announce more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parting {
    pub(super) epoch: Epoch,
    pub(super) worker: WorkerAddress,
    /// When the successor is assigned without its last word.
    pub(super) until: Deadline,
}

impl Lifecycle {
    /// To be called before the stream's worker is replaced by one that is yet to be found: that one is claimed at once, and
    /// assigned when the last one has said everything. One that has not handed over may take longer than [`CLOSE_MS`] to drain its
    /// encoder; viewers of one that is gone would wait for that, too.
    pub(super) fn wait_for_last_words(&mut self, now: UnixMillis) {
        if let Slot::Serving { worker, .. } = self.slot {
            let until = Deadline::after(now, CLOSE_MS);
            self.parting = Some(Parting { epoch: self.epoch(), worker, until });
        }
    }

    pub(super) fn parting_announced(&mut self, now: UnixMillis, epoch: Epoch, floor: Floor) {
        if self.parting.is_some_and(|parting| parting.epoch == epoch) {
            self.raise_floor(floor);
            self.has_started(now);
            // By what this worker had of it; the next one has yet to say so.
            self.publisher.worker_lost();
        }
    }

    /// It has said everything, or is gone.
    pub(super) fn has_parted(&mut self, epoch: Epoch) {
        self.parting.take_if(|parting| parting.epoch == epoch);
    }

    pub(super) fn expire_parting(&mut self, now: UnixMillis) {
        self.parting.take_if(|parting| parting.until.passed(now));
    }
}

impl Evidence {
    /// Whether the worker that is taken to be lost lives, and closes what it has.
    pub(super) fn leaves_worker_closing(self) -> bool {
        match self {
            Self::HandedOver | Self::RelayFailed => true,
            Self::ProcessEnded
            | Self::Closed
            | Self::FeedSilent
            | Self::NotAssigned
            | Self::ControllerRestarted => false,
        }
    }
}
