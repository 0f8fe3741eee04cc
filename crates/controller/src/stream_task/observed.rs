//! What is measured of one stream, and ends with its task.

use std::collections::HashMap;
use std::time::Duration;

use caudal_livestream::assignment::Floor;
use caudal_livestream::lifecycle::{Evidence, Lifecycle};
use caudal_livestream::record::Phase;
use caudal_livestream::{Epoch, MediaTime, Msn, StreamId, UnixMillis};
use tokio::time::Instant;

use crate::metrics::{EpochReason, Metrics, Queue};
use crate::queue::Counted;
use crate::workers::Start;

/// One stream's part in the metrics. A gauge that counts it counts it no longer once this is dropped.
pub(super) struct Observed {
    metrics: Metrics,
    phase: Option<(Phase, Counted)>,
    /// Workers that were wanted since this task began, and have not taken their assignment.
    wanted: HashMap<Epoch, Wanted>,
    /// Why the newest worker is wanted, if it is in place of another one.
    lost: Option<Evidence>,
    awaited: Awaited,
}

struct Wanted {
    since: Instant,
    start: Option<Start>,
    /// Until it is there.
    waits: Option<Counted>,
}

/// What of a new stream has not been announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    FirstPart,
    /// The first part ends here.
    FirstSegment(Msn, MediaTime),
    Nothing,
}

impl Observed {
    /// Of a stream that stands so. What one that was live before had announced is nobody's to measure any more.
    pub(super) fn new(metrics: Metrics, machine: &Lifecycle) -> Self {
        let is_new = matches!(machine.phase(), Phase::Pending | Phase::Starting);
        let awaited = if is_new { Awaited::FirstPart } else { Awaited::Nothing };
        Self { metrics, phase: None, wanted: HashMap::new(), lost: None, awaited }
    }

    /// It is in this phase; none when nobody is to know of it.
    pub(super) fn is_in(&mut self, phase: Option<Phase>) {
        if self.phase.as_ref().map(|(known, _)| *known) != phase {
            self.phase = phase.map(|phase| (phase, self.metrics.in_phase(phase)));
        }
    }

    /// The next worker is wanted because of that.
    pub(super) fn lost(&mut self, evidence: Option<Evidence>) {
        self.lost = evidence;
    }

    /// A worker is wanted for this epoch of `machine`; said again for as long as it is.
    pub(super) fn wants(&mut self, epoch: Epoch, machine: &Lifecycle) {
        let current = [Some(machine.epoch()), machine.moves_to()];
        self.wanted.retain(|wanted, _| current.contains(&Some(*wanted)));
        if self.wanted.contains_key(&epoch) {
            return;
        }
        self.metrics.epoch_begins(if machine.moves_to() == Some(epoch) {
            EpochReason::Move
        } else if epoch == Epoch(1) {
            EpochReason::First
        } else {
            EpochReason::Lost(self.lost.take())
        });
        let waits = Some(self.metrics.waits(Queue::Claims));
        self.wanted.insert(epoch, Wanted { since: Instant::now(), start: None, waits });
    }

    /// It is there.
    pub(super) fn claimed(&mut self, epoch: Epoch, start: Start) {
        if let Some(wanted) = self.wanted.get_mut(&epoch) {
            wanted.start = Some(start);
            wanted.waits = None;
        }
    }

    /// It has its assignment.
    pub(super) fn assigned(&mut self, epoch: Epoch) {
        if let Some(Wanted { since, start: Some(start), .. }) = self.wanted.remove(&epoch) {
            self.metrics.claimed(start, since.elapsed());
        }
    }

    /// It has lost the worker of this epoch, or wants it no longer.
    pub(super) fn gave_up(&mut self, epoch: Epoch) {
        self.wanted.remove(&epoch);
    }

    /// Everything announced ends here.
    pub(super) fn announced(&mut self, stream: StreamId, floor: &Floor, now: UnixMillis) {
        // The clocks of two machines differ by a moment.
        let age = stream.made_at().map(|made| now.0.saturating_sub(made.0).max(0));
        let age = age.and_then(|age| u64::try_from(age).ok()).map(Duration::from_millis);
        let end = (floor.msn, floor.media_end);
        self.awaited = match self.awaited {
            Awaited::FirstPart => {
                if let Some(age) = age {
                    self.metrics.first_part(age);
                }
                Awaited::FirstSegment(end.0, end.1)
            }
            Awaited::FirstSegment(msn, media_end) if end > (msn, media_end) => {
                if let Some(age) = age {
                    self.metrics.first_segment(age);
                }
                Awaited::Nothing
            }
            unchanged => unchanged,
        };
    }
}
