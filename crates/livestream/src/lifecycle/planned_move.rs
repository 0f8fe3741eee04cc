//! A planned move: a second worker is made ready, and takes the stream over at a keyframe (ARCHITECTURE §3.9).
//!
//! The record names the next worker only once that is ready. The router then switches at a keyframe, by which it ends
//! the old worker's input; the old worker closes what it has, and the next one goes on behind it. A next worker that fails
//! before the switch leaves the stream where it is; an old one that ends before it leaves the stream to the next one, however
//! far that is. Whatever goes wrong behind the switch is a lost worker like any other.

use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use super::move_end::{LastMove, MoveAskedBy, MoveEnd, MoveFailure, MoveRefusal};
use super::{Evidence, Lifecycle, Publisher, Slot, Stage, WorkerOrder};
use crate::assignment::AssignmentMode;
use crate::feed::InputState;
use crate::record::{NextWorker, WorkerAddress};
use crate::{Epoch, UnixMillis, WorkerId};

/// A move that is going on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlannedMove {
    /// Like `from_epoch`, missing in a record of the release before.
    #[serde(default)]
    asked_by: MoveAskedBy,
    from: WorkerId,
    #[serde(default)]
    from_epoch: Epoch,
    /// The next worker's.
    epoch: Epoch,
    stage: MoveStage,
    /// For the log, as this clock had it. Missing in a record of the release before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<UnixMillis>,
    /// When this stage has taken too long.
    until: Deadline,
    /// The router cannot reach the next worker. It is said to be lost rather than that, if it is heard to be until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unreachable: Option<Deadline>,
    /// What the next worker last said of its publisher, and of what is missing where it went on.
    heard: Option<InputState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "stage")]
enum MoveStage {
    Wanted,
    Claimed {
        worker: WorkerAddress,
    },
    /// It waits for the router, and the router for a keyframe.
    Prepared {
        worker: WorkerAddress,
    },
    /// The router has switched; the old worker is closing what it has.
    HandingOver {
        worker: WorkerAddress,
    },
    /// The router has not switched, and the old worker ends as it was told to: it is closing what it has.
    OldLeaves {
        worker: WorkerAddress,
    },
    /// It is the stream's worker, and has announced nothing yet.
    #[serde(rename_all = "camelCase")]
    Arriving {
        worker: WorkerId,
        stepped_in: bool,
    },
    /// One of a newer release: the move is given up. Who the next worker is stands in words that this release does not
    /// know, so it is ended by its claim.
    #[serde(other)]
    Unknown,
}

/// What became of the old worker of a move, as the next one takes the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldWorker {
    /// It has closed, or the next one was quicker.
    Closed,
    /// It has not closed in the time that it had. The next one goes on as behind a lost one; whether viewers lacked anything is
    /// not known.
    NotAwaited,
    /// It died behind the switch, before it had closed. No loss of the stream's, because the next one had the publisher by then;
    /// but what it had announced and not stored may be missing.
    Died,
    /// It was lost before the switch.
    Lost(Evidence),
}

impl MoveStage {
    /// The next worker, while it is not yet the stream's.
    fn next(self) -> Option<WorkerAddress> {
        match self {
            Self::Claimed { worker }
            | Self::Prepared { worker }
            | Self::HandingOver { worker }
            | Self::OldLeaves { worker } => Some(worker),
            Self::Wanted | Self::Arriving { .. } | Self::Unknown => None,
        }
    }

    /// Whether the old worker ended without having handed over.
    fn has_stepped_in(self) -> bool {
        matches!(self, Self::OldLeaves { .. } | Self::Arriving { stepped_in: true, .. })
    }

    fn is_before_the_switch(self) -> bool {
        matches!(self, Self::Wanted | Self::Claimed { .. } | Self::Prepared { .. } | Self::Unknown)
    }
}

impl PlannedMove {
    pub(super) fn deadlines_mut(&mut self) -> impl Iterator<Item = &mut Deadline> {
        std::iter::once(&mut self.until).chain(self.unreachable.as_mut())
    }

    pub(super) fn begun_mut(&mut self) -> Option<&mut UnixMillis> {
        self.begun.as_mut()
    }

    pub(super) fn wake(&self) -> UnixMillis {
        self.unreachable.map_or(self.until.at(), |unreachable| unreachable.at().min(self.until.at()))
    }

    fn enter(&mut self, stage: MoveStage, until: Deadline) {
        (self.stage, self.until, self.unreachable) = (stage, until, None);
    }

    fn ended(&self, end: MoveEnd) -> LastMove {
        let Self { asked_by, from, from_epoch, epoch, .. } = *self;
        LastMove { asked_by, from, from_epoch, epoch, end }
    }
}

impl Lifecycle {
    /// Whether [`super::Input::Move`] would begin a move now.
    ///
    /// # Errors
    /// [`MoveRefusal`] says why not.
    pub fn may_move(&self) -> Result<(), MoveRefusal> {
        if self.stage != Stage::Open {
            return Err(MoveRefusal::Over);
        }
        if let Some(planned) = &self.planned {
            return Err(MoveRefusal::UnderWay(planned.epoch));
        }
        match self.slot {
            Slot::Serving { prepared: false, finishing: false, .. } => {}
            _ => return Err(MoveRefusal::NoWorker),
        }
        if self.floor.is_none() {
            return Err(MoveRefusal::NotStarted);
        }
        match self.publisher {
            Publisher::Up => Ok(()),
            Publisher::Expected | Publisher::Awaited { .. } => Err(MoveRefusal::NotRelayed),
            Publisher::Lost { .. } => Err(MoveRefusal::NoPublisher),
        }
    }

    /// Whether a worker that was claimed under `epoch` is, or may become, one of this broadcast's, or is one that it ends. Whatever else was
    /// claimed for it, nobody will ever assign or end.
    pub fn may_have(&self, epoch: Epoch, worker: WorkerId) -> bool {
        let planned = self.planned.as_ref();
        let is_claiming = self.slot == Slot::Wanted && epoch == self.epoch()
            || planned.is_some_and(|planned| planned.epoch == epoch && planned.stage == MoveStage::Wanted);
        let next = planned.and_then(|planned| planned.stage.next());
        let parting = self.parting.map(|parting| parting.worker);
        let mut has =
            [self.slot.worker(), next, parting].into_iter().flatten().chain(self.releasing.iter().copied());
        is_claiming
            // Nobody has given it out yet, as far as this says.
            || epoch > self.epochs.highest()
            || self.withdrawing.contains(&epoch)
            // Of a move whose stage a newer release has written, nothing is known.
            || planned.is_some_and(|planned| planned.stage == MoveStage::Unknown)
            || has.any(|ours| ours.worker == worker)
    }

    /// The epoch that the stream is being moved to.
    pub fn moves_to(&self) -> Option<Epoch> {
        self.planned.as_ref().map(|planned| planned.epoch)
    }

    /// When the move that is going on began, if its record says so.
    pub fn moves_since(&self) -> Option<UnixMillis> {
        self.planned.as_ref().and_then(|planned| planned.begun)
    }

    /// How the last move ended.
    pub fn last_move(&self) -> Option<LastMove> {
        self.last_move
    }

    pub(super) fn begin_move(&mut self, now: UnixMillis, asked_by: MoveAskedBy) {
        let (Ok(()), Some(worker)) = (self.may_move(), self.slot.worker()) else { return };
        let from_epoch = self.epoch();
        let epoch = self.epochs.give_beside();
        self.planned = Some(PlannedMove {
            asked_by,
            from: worker.worker,
            from_epoch,
            epoch,
            begun: Some(now),
            stage: MoveStage::Wanted,
            until: Deadline::after(now, MOVE_MS),
            unreachable: None,
            heard: None,
        });
    }

    /// The move, if this epoch is its next worker's and that is not the stream's yet.
    fn coming(&mut self, epoch: Epoch) -> Option<&mut PlannedMove> {
        let not_arrived = |planned: &&mut PlannedMove| !matches!(planned.stage, MoveStage::Arriving { .. });
        self.planned.as_mut().filter(|planned| planned.epoch == epoch).filter(not_arrived)
    }

    /// Whether it is the stream's worker, or the one that it is being moved to.
    pub(super) fn has_worker(&self, worker: WorkerAddress) -> bool {
        let next = self.planned.as_ref().and_then(|planned| planned.stage.next());
        [self.slot.worker(), next].into_iter().flatten().any(|ours| ours.worker == worker.worker)
    }

    fn is_before_the_switch(&self) -> bool {
        self.planned.as_ref().is_some_and(|planned| planned.stage.is_before_the_switch())
    }

    /// Whether the old worker is closing, and the next one will have its place.
    pub fn is_handing_over(&self) -> bool {
        let closing = |stage| matches!(stage, MoveStage::HandingOver { .. } | MoveStage::OldLeaves { .. });
        self.planned.as_ref().is_some_and(|planned| closing(planned.stage))
    }

    /// False when the move does not want it.
    pub(super) fn next_worker_claimed(&mut self, epoch: Epoch, worker: WorkerAddress) -> bool {
        let Some(planned) = self.coming(epoch).filter(|planned| planned.stage == MoveStage::Wanted) else {
            return false;
        };
        planned.stage = MoveStage::Claimed { worker };
        true
    }

    pub(super) fn next_worker_prepared(&mut self, now: UnixMillis, epoch: Epoch) {
        if let Some(planned) = self.coming(epoch)
            && let MoveStage::Claimed { worker } = planned.stage
        {
            planned.enter(MoveStage::Prepared { worker }, Deadline::after(now, MOVE_MS));
        }
    }

    /// What the next worker says of its publisher. Media of it means that the router has switched.
    pub(super) fn next_worker_hears(&mut self, now: UnixMillis, epoch: Epoch, state: &InputState) {
        let Some(planned) = self.planned.as_mut().filter(|planned| planned.epoch == epoch) else { return };
        planned.heard = Some(state.clone());
        if self.coming(epoch).is_some() && state.up && state.silent_ms.is_some() {
            self.router_switched(now);
        }
    }

    /// The old worker's input was ended on purpose.
    pub(super) fn input_moved(&mut self, now: UnixMillis) {
        if !self.is_handing_over() && !self.router_switched(now) {
            // Whatever the router followed was given up meanwhile, and this worker is closing already.
            self.lost(now, Evidence::HandedOver);
        }
    }

    fn router_switched(&mut self, now: UnixMillis) -> bool {
        if let Some(planned) = &mut self.planned
            && let MoveStage::Prepared { worker } = planned.stage
        {
            planned.enter(MoveStage::HandingOver { worker }, Deadline::after(now, CLOSE_MS));
            return true;
        }
        false
    }

    /// The stream's worker ends as it was told to, and has not handed over. A next worker that is ready has its place as
    /// soon as it has closed; until one is ready, its end is that of any worker.
    pub(super) fn old_worker_leaves(&mut self, now: UnixMillis) {
        if let Some(planned) = &mut self.planned
            && let MoveStage::Prepared { worker } = planned.stage
        {
            planned.enter(MoveStage::OldLeaves { worker }, Deadline::after(now, CLOSE_MS));
        }
    }

    /// Media of the next worker can be watched.
    pub(super) fn next_worker_announced(&mut self, now: UnixMillis, epoch: Epoch) {
        if self.coming(epoch).is_some_and(|planned| planned.stage.next().is_some()) {
            self.take_over(now, OldWorker::Closed);
        }
    }

    /// The stream's own worker has announced something new.
    pub(super) fn worker_announced(&mut self) {
        if let Some(planned) = &self.planned
            && let MoveStage::Arriving { worker, stepped_in } = planned.stage
        {
            let lost_ms = planned.heard.as_ref().and_then(|heard| heard.seam_lost_ms);
            self.last_move = Some(planned.ended(MoveEnd::Moved { to: worker, stepped_in, lost_ms }));
            self.planned = None;
        }
    }

    /// The next worker is gone. False when there is no such worker.
    pub(super) fn next_worker_lost(&mut self, now: UnixMillis, epoch: Epoch, evidence: Evidence) -> bool {
        let Some(planned) = self.coming(epoch).filter(|planned| planned.stage.next().is_some()) else {
            return false;
        };
        if planned.stage.is_before_the_switch() {
            self.give_up_move(match evidence {
                Evidence::NotAssigned => MoveFailure::NextWorkerNotReady,
                _ => MoveFailure::NextWorkerLost,
            });
            return true;
        }
        // The old worker has closed, or is about to.
        let switched = matches!(planned.stage, MoveStage::HandingOver { .. });
        let died_of_it = switched && planned.heard.as_ref().is_some_and(|heard| heard.up && !heard.leaving);
        self.give_up_move(if switched { MoveFailure::LostAfterTheSwitch } else { MoveFailure::BothLost });
        self.wait_for_last_words(now);
        self.losses.worker_replaced(now, &self.slot, None);
        if died_of_it {
            self.losses.lost_at_once();
        }
        self.want_worker(now);
        true
    }

    pub(super) fn next_worker_unreachable(&mut self, now: UnixMillis, epoch: Epoch) {
        if let Some(planned) = self.coming(epoch)
            && matches!(planned.stage, MoveStage::Prepared { .. })
        {
            planned.unreachable.get_or_insert(Deadline::after(now, UNREACHABLE_MS));
        }
    }

    /// The stream's worker is gone: the next one steps in at once, however far it is. False when there is none.
    pub(super) fn step_in(&mut self, now: UnixMillis, evidence: Evidence) -> bool {
        let coming = self.planned.as_ref().is_some_and(|p| !matches!(p.stage, MoveStage::Arriving { .. }));
        if evidence == Evidence::ControllerRestarted {
            // All workers ended with it.
            self.give_up_move(MoveFailure::ControllerRestarted);
            return false;
        }
        if coming {
            self.take_over(
                now,
                match evidence {
                    _ if self.is_before_the_switch() => OldWorker::Lost(evidence),
                    Evidence::Closed => OldWorker::Closed,
                    _ => OldWorker::Died,
                },
            );
        } else {
            let stepped_in = self.planned.as_ref().is_some_and(|planned| planned.stage.has_stepped_in());
            self.give_up_move(if stepped_in {
                MoveFailure::BothLost
            } else {
                MoveFailure::LostAfterTheSwitch
            });
        }
        coming
    }

    /// The next worker becomes the stream's.
    pub(super) fn take_over(&mut self, now: UnixMillis, old: OldWorker) {
        let Some(mut planned) = self.planned.take() else { return };
        let lost = match old {
            OldWorker::Lost(evidence) => Some(evidence),
            OldWorker::Closed | OldWorker::NotAwaited | OldWorker::Died => None,
        };
        // One that is ready already hears the last word on the way that a hand-over takes: it waits for the final state.
        let unready = matches!(planned.stage, MoveStage::Wanted | MoveStage::Claimed { .. });
        if unready && lost.is_some_and(Evidence::leaves_worker_closing) {
            self.wait_for_last_words(now);
        }
        self.losses.worker_replaced(now, &self.slot, lost);
        self.releasing.extend(self.slot.worker());
        self.epochs.move_on(planned.epoch);
        let next = planned.stage;
        let stepped_in = matches!(old, OldWorker::Died | OldWorker::Lost(_)) || next.has_stepped_in();
        self.slot = match next {
            MoveStage::Claimed { worker } => Slot::Claimed { worker },
            MoveStage::Prepared { worker }
            | MoveStage::HandingOver { worker }
            | MoveStage::OldLeaves { worker } => Slot::Serving {
                worker,
                finishing: false,
                session_since: None,
                prepared: true,
                leaving: false,
            },
            MoveStage::Wanted | MoveStage::Arriving { .. } | MoveStage::Unknown => Slot::Wanted,
        };
        let heard = planned.heard.clone();
        if let Some(worker) = next.next() {
            let arriving = MoveStage::Arriving { worker: worker.worker, stepped_in };
            planned.enter(arriving, Deadline::after(now, ARRIVAL_MS));
            self.planned = Some(planned);
        } else {
            let end = MoveEnd::Failed { failure: MoveFailure::OldWorkerLost };
            self.last_move = Some(planned.ended(end));
        }
        self.after_loss(now);
        if matches!(self.slot, Slot::Serving { .. }) {
            self.publisher.worker_ready(now);
            if let Some(heard) = heard {
                self.publisher_seen(now, self.epoch(), &heard);
            }
        }
    }

    /// Gives a move up that still waits for the router. Behind the switch, the stream is with the next worker.
    pub(super) fn give_up_move_before_the_switch(&mut self, failure: MoveFailure) {
        if self.is_before_the_switch() {
            self.give_up_move(failure);
        }
    }

    /// The next worker is let go, if it is not the stream's already. Its epoch is never given again.
    pub(super) fn give_up_move(&mut self, failure: MoveFailure) {
        if let Some(planned) = self.planned.take() {
            self.releasing.extend(planned.stage.next());
            if matches!(planned.stage, MoveStage::Wanted | MoveStage::Unknown) {
                self.withdrawing.push(planned.epoch);
            }
            self.last_move = Some(planned.ended(MoveEnd::Failed { failure }));
        }
    }

    pub(super) fn expire_move(&mut self, now: UnixMillis) {
        let passed = |planned: &PlannedMove| planned.until.passed(now);
        let unreachable = |planned: &PlannedMove| planned.unreachable.is_some_and(|until| until.passed(now));
        match self.planned.as_ref().map(|planned| (planned.stage, passed(planned), unreachable(planned))) {
            Some((MoveStage::Prepared { .. }, _, true)) => {
                self.give_up_move(MoveFailure::NextWorkerUnreachable);
            }
            Some((MoveStage::Unknown, ..)) => self.give_up_move(MoveFailure::Unknown),
            None | Some((_, false, _)) => {}
            Some((MoveStage::Wanted | MoveStage::Claimed { .. }, ..)) => {
                self.give_up_move(MoveFailure::NoWorker);
            }
            Some((MoveStage::Prepared { .. }, ..)) => self.give_up_move(MoveFailure::NoSwitch),
            // The old worker has not closed in time: the next one goes on as behind a lost one.
            Some((MoveStage::HandingOver { .. } | MoveStage::OldLeaves { .. }, ..)) => {
                self.take_over(now, OldWorker::NotAwaited);
            }
            // It lives, and keeps the stream: its loss would have been noticed.
            Some((MoveStage::Arriving { .. }, ..)) => self.give_up_move(if self.publisher == Publisher::Up {
                MoveFailure::NothingAnnounced
            } else {
                MoveFailure::PublisherLostBehindTheSwitch
            }),
        }
        self.leave_by_itself(now);
    }

    /// Moves the stream away from a worker that was told to go. A next worker that dies at once, or that the router cannot
    /// reach, must not cost a process each time that it is heard of.
    fn leave_by_itself(&mut self, now: UnixMillis) {
        let leaving = matches!(self.slot, Slot::Serving { leaving: true, .. });
        if !leaving || self.may_move().is_err() {
            self.move_again = None;
            return;
        }
        let failed = self.last_move.is_some_and(|last| {
            last.epoch == self.epochs.highest() && matches!(last.end, MoveEnd::Failed { .. })
        });
        let again = *self.move_again.get_or_insert(Deadline::after(now, MOVE_AGAIN_MS));
        if !failed || again.passed(now) {
            self.move_again = None;
            self.begin_move(now, MoveAskedBy::Worker);
        }
    }

    pub(super) fn next_order(&self) -> Option<WorkerOrder> {
        let planned = self.planned.as_ref()?;
        match planned.stage {
            MoveStage::Wanted => Some(WorkerOrder::Claim(planned.epoch)),
            MoveStage::Claimed { worker } => {
                Some(WorkerOrder::Assign { epoch: planned.epoch, worker, mode: AssignmentMode::Prepare })
            }
            MoveStage::Prepared { .. }
            | MoveStage::HandingOver { .. }
            | MoveStage::OldLeaves { .. }
            | MoveStage::Arriving { .. }
            | MoveStage::Unknown => None,
        }
    }

    /// The next worker, once it is ready to take the stream.
    pub(super) fn next_worker(&self) -> Option<NextWorker> {
        let planned = self.planned.as_ref()?;
        match planned.stage {
            MoveStage::Prepared { worker }
            | MoveStage::HandingOver { worker }
            | MoveStage::OldLeaves { worker } => Some(NextWorker { address: worker, epoch: planned.epoch }),
            _ => None,
        }
    }
}

/// For a worker to be ready, and again for the router to switch: a pod may have to start, and a keyframe be waited for.
pub(super) const MOVE_MS: u32 = 30_000;
/// From the switch until the old worker has closed its segment and stored it (ARCHITECTURE §3.9).
pub(super) const CLOSE_MS: u32 = 1_000;
/// A process that ended is noticed within that, a feed that fell silent is not.
const UNREACHABLE_MS: u32 = 1_000;
/// After a failed move away from a worker that is to go: its grace is longer by far.
const MOVE_AGAIN_MS: u32 = 3_000;
/// A stream's first segment of a new worker: the replay is there, a part is 0.2 s.
pub(super) const ARRIVAL_MS: u32 = 15_000;
