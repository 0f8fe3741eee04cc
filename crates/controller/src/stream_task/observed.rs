//! What is measured and traced of one stream, and ends with its task.

use std::collections::HashMap;
use std::time::Duration;

use caudal_livestream::assignment::Floor;
use caudal_livestream::lifecycle::{Evidence, Lifecycle, MoveEnd};
use caudal_livestream::record::Phase;
use caudal_livestream::{Epoch, MediaTime, Msn, StreamId, UnixMillis};
use caudal_traces::{Outcome, Span, Traces};
use tokio::time::Instant;

use crate::metrics::{EpochReason, InPhase, Metrics, Queue, label};
use crate::waiting::Waits;
use crate::workers::Start;

/// One stream's part in the metrics. A gauge that counts it counts it no longer once this is dropped.
pub(super) struct Observed {
    metrics: Metrics,
    traces: Traces,
    stream: StreamId,
    phase: Option<Current>,
    /// The move that is under way.
    moving: Option<(Epoch, Span)>,
    /// The whole broadcast was traced, or its end is older than this task.
    told: bool,
    /// Workers that were wanted since this task began, and have not taken their assignment.
    wanted: HashMap<Epoch, Wanted>,
    /// Why the newest worker is wanted, if it is in place of another one.
    lost: Option<Evidence>,
    awaited: Awaited,
}

struct Current {
    phase: Phase,
    _counted: InPhase,
    _span: Span,
}

struct Wanted {
    /// Of the claim, and then of the assignment.
    span: Span,
    since: Instant,
    start: Option<Start>,
    /// Until it is there.
    waits: Option<Waits>,
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
    pub(super) fn new(metrics: Metrics, traces: Traces, machine: &Lifecycle) -> Self {
        let is_new = matches!(machine.phase(), Phase::Pending | Phase::Starting);
        let awaited = if is_new { Awaited::FirstPart } else { Awaited::Nothing };
        Self {
            metrics,
            traces,
            stream: machine.stream(),
            phase: None,
            moving: None,
            told: machine.is_settled() || is_ended(machine.phase()),
            wanted: HashMap::new(),
            lost: None,
            awaited,
        }
    }

    /// It is in this phase; none when nobody is to know of it.
    pub(super) fn is_in(&mut self, phase: Option<Phase>) {
        if self.phase.as_ref().map(|known| known.phase) != phase {
            // The last one's span is over before the next one begins.
            self.phase = None;
            self.phase = phase.map(|phase| {
                let counted = self.metrics.in_phase(phase);
                let span =
                    phase_name(phase).map_or_else(Span::none, |name| self.traces.begin(self.stream, name));
                Current { phase, _counted: counted, _span: span }
            });
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
        let reason = if machine.moves_to() == Some(epoch) {
            EpochReason::Move
        } else if epoch == Epoch(1) {
            EpochReason::First
        } else {
            EpochReason::Lost(self.lost.take())
        };
        self.metrics.epoch_begins(reason);
        let mut span = self.traces.begin(self.stream, "claim");
        span.note("caudal.epoch", epoch);
        span.note("caudal.reason", reason.label());
        let waits = Some(self.metrics.waits(Queue::Claims));
        self.wanted.insert(epoch, Wanted { span, since: Instant::now(), start: None, waits });
    }

    /// It is there.
    pub(super) fn claimed(&mut self, epoch: Epoch, start: Start) {
        if let Some(wanted) = self.wanted.get_mut(&epoch) {
            wanted.start = Some(start);
            wanted.waits = None;
            wanted.span.note("caudal.start", start.label());
            let mut assignment = self.traces.begin(self.stream, "assignment");
            assignment.note("caudal.epoch", epoch);
            std::mem::replace(&mut wanted.span, assignment).end();
        }
    }

    /// It has its assignment.
    pub(super) fn assigned(&mut self, epoch: Epoch) {
        if let Some(Wanted { since, start: Some(start), .. }) = self.wanted.remove(&epoch) {
            self.metrics.claimed(start, since.elapsed());
        }
    }

    /// It has lost the worker of this epoch, or wants it no longer.
    pub(super) fn gave_up(&mut self, epoch: Epoch, reason: &str) {
        if let Some(mut wanted) = self.wanted.remove(&epoch) {
            wanted.span.went(Outcome::Failed, reason);
        }
    }

    /// Traces moves as they begin and end, and the whole broadcast once it is over.
    pub(super) fn stands_so(&mut self, machine: &Lifecycle) {
        let to = machine.moves_to();
        if self.moving.as_ref().map(|(epoch, _)| *epoch) != to {
            if let Some((epoch, mut span)) = self.moving.take()
                && let Some(last) = machine.last_move().filter(|last| last.epoch == epoch)
            {
                match last.end {
                    MoveEnd::Moved { .. } => span.went(Outcome::Well, ""),
                    MoveEnd::Failed { failure } => span.went(Outcome::Failed, &failure.to_string()),
                }
            }
            self.moving = to.map(|epoch| {
                let mut span = self.traces.begin(self.stream, "move");
                span.note("caudal.from_epoch", machine.epoch());
                span.note("caudal.epoch", epoch);
                (epoch, span)
            });
        }
        if is_ended(machine.phase()) && !std::mem::replace(&mut self.told, true) {
            let Some(begun) = self.stream.made_at() else { return };
            let mut broadcast = self.traces.whole(self.stream, "broadcast", begun);
            broadcast.note("caudal.epochs", machine.epoch());
            if let Some(reason) = machine.end_reason() {
                let outcome = if reason.is_failure() { Outcome::Failed } else { Outcome::Well };
                broadcast.went(outcome, &reason.in_words(None));
            }
        }
    }

    /// Everything announced ends here.
    pub(super) fn announced(&mut self, floor: &Floor, now: UnixMillis) {
        // The clocks of two machines differ by a moment.
        let since = |made: UnixMillis| u64::try_from(now.0.saturating_sub(made.0)).unwrap_or_default();
        let age = self.stream.made_at().map(|made| Duration::from_millis(since(made)));
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

fn is_ended(phase: Phase) -> bool {
    matches!(phase, Phase::Ended | Phase::Failed)
}

/// What is over lasts for as long as somebody may ask for it: nothing goes on then.
fn phase_name(phase: Phase) -> Option<&'static str> {
    (!is_ended(phase) && phase != Phase::Unknown).then(|| label(phase))
}
