//! The one place that a broadcast has for a worker, and how many workers it has worn out.

use serde::{Deserialize, Serialize};

use super::Evidence;
use super::deadline::Deadline;
use crate::UnixMillis;
use crate::record::WorkerAddress;

/// How far the choice of a worker for the current epoch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "slot")]
pub(super) enum Slot {
    /// The choice is recorded; no worker yet.
    Wanted,
    /// This one, and no other in this epoch; it does not know yet.
    Claimed { worker: WorkerAddress },
    /// It has its assignment.
    #[serde(rename_all = "camelCase")]
    Serving {
        worker: WorkerAddress,
        /// It was told to write ENDLIST.
        finishing: bool,
        /// When it first had the publisher.
        session_since: Option<UnixMillis>,
        /// It was made ready for a hand-over, and has yet to be told that it is the only one now.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        prepared: bool,
        /// It was told to go, and serves on until another one has the stream.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        leaving: bool,
    },
    /// None is wanted any more.
    Vacant,
}

impl Slot {
    pub(super) fn worker(&self) -> Option<WorkerAddress> {
        match self {
            Self::Claimed { worker } | Self::Serving { worker, .. } => Some(*worker),
            Self::Wanted | Self::Vacant => None,
        }
    }
}

/// What tells a stream that kills workers from a worker that happened to die.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Losses {
    /// Workers in a row that were lost soon after they had taken the publisher.
    quick: u32,
    relay_failures: u32,
    relay_failures_count_until: Option<Deadline>,
}

impl Losses {
    /// The stream goes on with another worker than the one in `slot`. `lost`: why, unless it handed over or went as it was
    /// told to.
    ///
    /// A worker that was told to go proves nothing against the media, however it ended: an administrator may tell every one
    /// of them. One that had the publisher for long proves that media does not kill, however it ended, if it
    /// is known when.
    pub(super) fn worker_replaced(&mut self, now: UnixMillis, slot: &Slot, lost: Option<Evidence>) {
        // They were the last worker's.
        self.forget_relay_failures();
        let Slot::Serving { session_since: Some(since), leaving, .. } = slot else { return };
        match lost {
            // Nobody knows when it ended.
            Some(Evidence::ControllerRestarted) => {}
            _ if Deadline::after(*since, QUICK_MS).passed(now) => self.quick = 0,
            None | Some(Evidence::HandedOver) => {}
            Some(_) if *leaving => {}
            Some(_) => self.lost_at_once(),
        }
    }

    /// A worker was lost soon after it had taken the publisher, and nobody had told it to go.
    pub(super) fn lost_at_once(&mut self) {
        self.quick = self.quick.saturating_add(1);
    }

    /// Counts a router's failure; true when there were so many that the worker counts as lost.
    pub(super) fn relay_failed(&mut self, now: UnixMillis) -> bool {
        self.forget_old_relay_failures(now);
        self.relay_failures_count_until.get_or_insert(Deadline::after(now, RELAY_FAILURES_MS));
        self.relay_failures = self.relay_failures.saturating_add(1);
        self.relay_failures >= RELAY_FAILURES
    }

    /// Those that no later one is counted with.
    pub(super) fn forget_old_relay_failures(&mut self, now: UnixMillis) {
        if self.relay_failures_count_until.is_some_and(|until| until.passed(now)) {
            self.forget_relay_failures();
        }
    }

    fn forget_relay_failures(&mut self) {
        (self.relay_failures, self.relay_failures_count_until) = (0, None);
    }

    pub(super) fn deadline_mut(&mut self) -> Option<&mut Deadline> {
        self.relay_failures_count_until.as_mut()
    }

    /// The next worker is not to get what the last ones died of.
    pub(super) fn replay_is_suspect(&self) -> bool {
        self.quick >= SUSPECT_LOSSES
    }

    pub(super) fn too_many(&self) -> bool {
        self.quick > SUSPECT_LOSSES
    }
}

/// The replay holds at least two GOPs and is decoded at once: what kills a worker there does so within seconds.
const QUICK_MS: u32 = 10_000;
/// Two may be chance.
const SUSPECT_LOSSES: u32 = 2;
/// A live worker's feed outweighs one failed relay, and a second one; a router tries once a second.
const RELAY_FAILURES: u32 = 3;
const RELAY_FAILURES_MS: u32 = 10_000;
