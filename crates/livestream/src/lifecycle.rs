//! The life of one broadcast as a state machine (ARCHITECTURE §3): no clock, no network, no storage.
//!
//! The controller owns one [`Lifecycle`] per stream. It feeds it [`Input`]s with its clock's `now`, stores it, and then
//! makes the world fit [`Lifecycle::orders`]. Orders say what ought to be, not what to do next: after a restart the
//! stored machine gives the same orders, and carrying one out twice does no harm.

mod deadline;
mod epochs;
mod hearing;
mod move_end;
mod no_room;
mod orders;
mod parting;
mod planned_move;
mod publisher;
mod time;
mod words;
mod worker_slot;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::admission::BroadcastHints;
use crate::assignment::{AssignmentMode, Floor};
use crate::feed::InputState;
use crate::record::WorkerAddress;
use crate::report::EndReason;
use crate::{Epoch, Generation, StreamId, UnixMillis, WorkerId};

use deadline::Deadline;
use epochs::Epochs;
pub use move_end::{LastMove, MoveAskedBy, MoveEnd, MoveFailure, MoveRefusal};
use no_room::NoRoom;
pub use orders::{Orders, ReportOrder, WAITING_FOR_A_WORKER, WorkerOrder};
use parting::Parting;
use planned_move::{OldWorker, PlannedMove};
use publisher::Publisher;
use worker_slot::{Losses, Slot};

/// One broadcast's life, from its creation until nobody needs to remember it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    stream: StreamId,
    reconnect_window_ms: u32,
    stage: Stage,
    /// When the first segment was announced.
    started_at: Option<UnixMillis>,
    /// Until when the first segment must have been announced; none once it was.
    start: Option<Deadline>,
    /// None while there is room for the first worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_room: Option<NoRoom>,
    /// Why there is no worker for the current epoch, in words for whoever runs the platform; none where nobody knows, or there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_worker: Option<String>,
    /// Why there are no storage credentials for the worker that is being found; none where there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_credentials: Option<String>,
    generation: Generation,
    publisher: Publisher,
    #[serde(flatten)]
    epochs: Epochs,
    slot: Slot,
    /// Until when a replacement must have taken up the publisher; none while no publisher waits for one.
    recovery: Option<Deadline>,
    losses: Losses,
    /// Workers that are ours no more and may not be gone yet.
    releasing: Vec<WorkerAddress>,
    /// Epochs of moves that were given up while their worker was being claimed: one may have been claimed all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withdrawing: Vec<Epoch>,
    floor: Option<Floor>,
    /// The worker before the one that is being found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parting: Option<Parting>,
    hints: Option<BroadcastHints>,
    /// Why nothing of the publisher's can be played, in words for the streamer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unplayable: Option<String>,
    /// The newest publisher of which a worker has had media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heard: Option<Generation>,
    /// The newest publisher that was turned away for its media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Generation>,
    /// A publisher was turned away for its media: until then, a second time ends the broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turned_away: Option<Deadline>,
    published_acknowledged: bool,
    done_acknowledged: bool,
    /// A move to another worker that is going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    planned: Option<PlannedMove>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "move_end::known")]
    last_move: Option<LastMove>,
    /// When the next move away from a worker that is to go begins, after one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    move_again: Option<Deadline>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "stage")]
enum Stage {
    Open,
    /// The playlists are being closed.
    #[serde(rename_all = "camelCase")]
    Closing {
        reason: EndReason,
        until: Deadline,
    },
    #[serde(rename_all = "camelCase")]
    Over {
        reason: EndReason,
        ended_at: UnixMillis,
        /// When the media may be removed: until then, viewers may look once more.
        forget: Option<Deadline>,
        /// True once `forget` has passed: the media may go, and the record after it.
        forgotten: bool,
    },
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Only time has passed.
    Tick,
    /// The directory took a returning publisher. Whether it reaches the worker, the worker will say.
    PublisherChosen(Generation),
    /// A worker was found for the choice of this epoch, and is nobody else's.
    WorkerClaimed(Epoch, WorkerAddress),
    /// There is no room for a worker of this epoch. Said again each second for as long as that is so.
    NoCapacity(Epoch),
    /// There is room for the worker of this epoch, which is not there yet.
    WorkerComing(Epoch),
    /// Why there is no worker of this epoch yet, in words for whoever runs the platform. Said again when it becomes another reason.
    NoWorker(Epoch, String),
    /// There are no storage credentials for the worker of this epoch, for this reason in a few words. It is not assigned without.
    NoCredentials(Epoch, String),
    /// Storage has claims up to this epoch, which a controller before this one must have given out.
    EpochsClaimed(Epoch),
    /// The worker of this epoch took its assignment.
    AssignmentTaken(Epoch, AssignmentMode),
    /// The worker of this epoch says so of its publisher.
    Publisher(Epoch, InputState),
    /// The publisher of this generation was turned away for what it sends, and told so in these words. It may come back
    /// with the same, or with one bad message less.
    MediaRefused(Generation, String),
    /// The worker of this epoch has announced media up to here.
    Announced(Epoch, Floor),
    /// The worker of this epoch has said that nothing will follow.
    Finished(Epoch),
    /// The worker of this epoch is gone.
    WorkerLost(Epoch, Evidence),
    /// A router could not relay to the worker of this epoch.
    RelayFailed(Epoch),
    /// This worker's process has ended.
    Released(WorkerId),
    /// No worker is claimed for this epoch any more.
    Withdrawn(Epoch),
    /// Somebody wants the broadcast to end.
    End(EndReason),
    /// Its stream key no longer counts.
    KeyRevoked,
    /// What is known of the media, for the channel's next broadcast.
    Measured(BroadcastHints),
    /// The api has acknowledged this report.
    Acknowledged(ReportKind),
    /// Somebody wants the stream on another worker. Nothing happens unless [`Lifecycle::may_move`].
    Move,
}

/// Why a worker is taken to be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Its process ended, and its feed broke with it.
    ProcessEnded,
    /// Its process ended after it had closed its feed in good order.
    Closed,
    /// Its feed was silent or closed and cannot be opened again.
    FeedSilent,
    /// It did not take its assignment.
    NotAssigned,
    /// Routers cannot relay to it.
    RelayFailed,
    /// It ended with the controller before this one; that says nothing about the stream.
    ControllerRestarted,
    /// It was told to hand over, and nobody took the stream up.
    HandedOver,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProcessEnded => "it ended",
            Self::Closed => "it closed and ended",
            Self::FeedSilent => "nothing was heard of it for three seconds",
            Self::NotAssigned => "it did not take its assignment",
            Self::RelayFailed => "routers cannot relay to it",
            Self::ControllerRestarted => "it ended with the controller",
            Self::HandedOver => "it handed over, and nobody took the stream",
        })
    }
}

/// A report to the api.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// [`crate::report::Published`].
    Published,
    /// [`crate::report::Done`].
    Done,
}

impl Lifecycle {
    /// A broadcast that was created now, with its first publisher.
    pub fn new(stream: StreamId, reconnect_window_ms: u32, generation: Generation, now: UnixMillis) -> Self {
        Self {
            stream,
            reconnect_window_ms,
            stage: Stage::Open,
            started_at: None,
            start: Some(Deadline::after(now, START_MS)),
            no_room: None,
            no_worker: None,
            no_credentials: None,
            generation,
            publisher: Publisher::Expected,
            epochs: Epochs::first(),
            slot: Slot::Wanted,
            recovery: None,
            losses: Losses::default(),
            releasing: Vec::new(),
            withdrawing: Vec::new(),
            floor: None,
            parting: None,
            hints: None,
            unplayable: None,
            heard: None,
            refused: None,
            turned_away: None,
            published_acknowledged: false,
            done_acknowledged: false,
            planned: None,
            last_move: None,
            move_again: None,
        }
    }

    /// One that is over without ever having been created here: what remains to be done is to say so.
    pub fn tombstone(stream: StreamId, reason: EndReason, now: UnixMillis) -> Self {
        let mut machine = Self::new(stream, 0, Generation(0), now);
        machine.handle(now, Input::End(reason));
        machine
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: UnixMillis, input: Input) {
        self.shorten_deadlines(now);
        if self.publisher.is_lost() {
            // Nobody waits: whoever comes back is not to get what an earlier loss has left of that time.
            self.recovery = None;
        }
        match input.with_few_words() {
            Input::Tick => {}
            Input::PublisherChosen(generation) => {
                if generation > self.generation {
                    self.generation = generation;
                    self.publisher.chosen(now);
                    if !matches!(self.slot, Slot::Serving { .. }) {
                        self.wait_for_a_worker(now);
                    }
                }
            }
            Input::WorkerClaimed(epoch, worker) => {
                if self.is_wanted(epoch) {
                    self.slot = Slot::Claimed { worker };
                    self.no_room = None;
                    // Of one that is over, the worker only closes its playlists.
                    if self.stage == Stage::Open {
                        self.no_worker = None;
                    }
                } else if !self.next_worker_claimed(epoch, worker) && !self.has_worker(worker) {
                    self.releasing.push(worker);
                }
            }
            Input::NoCapacity(epoch) => self.no_capacity(now, epoch),
            Input::WorkerComing(epoch) => {
                if self.is_wanted(epoch) {
                    self.no_room = None;
                }
            }
            Input::NoWorker(epoch, reason) => {
                if self.is_wanted(epoch) {
                    self.no_worker = Some(reason);
                }
            }
            Input::NoCredentials(epoch, reason) => {
                if epoch == self.epoch() && matches!(self.slot, Slot::Wanted | Slot::Claimed { .. }) {
                    self.no_credentials = Some(reason);
                }
            }
            Input::EpochsClaimed(highest) => self.epochs.skip_to(highest),
            Input::AssignmentTaken(epoch, mode) => self.assignment_taken(now, epoch, mode),
            Input::Publisher(epoch, state) => {
                self.next_worker_hears(now, epoch, &state);
                self.publisher_seen(now, epoch, &state);
            }
            Input::MediaRefused(generation, words) => {
                if generation >= self.generation && self.refused.is_none_or(|heard| heard < generation) {
                    self.refused = Some(generation);
                    self.media_refused(now, words);
                }
            }
            Input::Announced(epoch, floor) => {
                self.next_worker_announced(now, epoch);
                self.parting_announced(now, epoch, floor);
                self.announced(now, epoch, floor);
            }
            Input::Finished(epoch) => {
                self.has_parted(epoch);
                if self.is_serving(epoch) {
                    match self.stage {
                        // The next worker writes the end, behind what this one has closed.
                        _ if self.is_handing_over() => self.take_over(now, OldWorker::Closed),
                        Stage::Closing { reason, .. } => self.over(now, reason),
                        // It was told to stop by someone else; the stream goes on with another.
                        Stage::Open | Stage::Over { .. } => self.lost(now, Evidence::ProcessEnded),
                    }
                } else {
                    self.next_worker_lost(now, epoch, Evidence::ProcessEnded);
                }
            }
            Input::WorkerLost(epoch, evidence) => {
                self.has_parted(epoch);
                if epoch == self.epoch() && self.slot.worker().is_some() {
                    self.lost(now, evidence);
                } else {
                    self.next_worker_lost(now, epoch, evidence);
                }
            }
            Input::RelayFailed(epoch) => {
                if self.is_serving(epoch) && !self.is_handing_over() && self.losses.relay_failed(now) {
                    self.lost(now, Evidence::RelayFailed);
                }
                self.next_worker_unreachable(now, epoch);
            }
            Input::Released(worker) => self.releasing.retain(|leaving| leaving.worker != worker),
            Input::Withdrawn(epoch) => self.withdrawing.retain(|withdrawing| *withdrawing != epoch),
            Input::End(reason) => self.close(now, reason),
            Input::KeyRevoked => self.close(now, EndReason::KeyRotated),
            Input::Measured(hints) => {
                // The next broadcast's headers must hold for its longest, which was this one's longest.
                let known = self.hints.unwrap_or(hints);
                self.hints = Some(BroadcastHints {
                    keyframe_ms: hints.keyframe_ms.max(known.keyframe_ms),
                    max_frame_ms: hints.max_frame_ms.max(known.max_frame_ms),
                    fps_milli: hints.fps_milli,
                });
            }
            Input::Acknowledged(report) => self.acknowledged(report),
            Input::Move => self.begin_move(now, MoveAskedBy::Administrator),
        }
        self.expire(now);
    }

    /// Whether a worker of this epoch is looked for.
    fn is_wanted(&self, epoch: Epoch) -> bool {
        epoch == self.epoch() && self.slot == Slot::Wanted
    }

    /// A stream that runs keeps the time that it has to recover in.
    fn no_capacity(&mut self, now: UnixMillis, epoch: Epoch) {
        let starting = self.stage == Stage::Open && self.started_at.is_none();
        if starting && self.is_wanted(epoch) {
            self.no_room = Some(NoRoom::said(self.no_room, now));
        }
    }

    fn assignment_taken(&mut self, now: UnixMillis, epoch: Epoch, mode: AssignmentMode) {
        if epoch != self.epoch() {
            if mode == AssignmentMode::Prepare {
                self.next_worker_prepared(now, epoch);
            }
            return;
        }
        self.no_credentials = None;
        let finishing = mode == AssignmentMode::Finish;
        // Its predecessor may have died while it was asked to prepare: then it has yet to be told to begin.
        let prepared = mode == AssignmentMode::Prepare;
        match &mut self.slot {
            Slot::Claimed { worker } => {
                let worker = *worker;
                self.slot =
                    Slot::Serving { worker, finishing, session_since: None, prepared, leaving: false };
                self.publisher.worker_ready(now);
            }
            Slot::Serving { finishing: told, prepared: waits, .. } => {
                *told |= finishing;
                *waits &= prepared;
            }
            Slot::Wanted | Slot::Vacant => {}
        }
    }

    fn announced(&mut self, now: UnixMillis, epoch: Epoch, floor: Floor) {
        if !self.is_serving(epoch) {
            return;
        }
        if self.raise_floor(floor) {
            self.worker_announced();
            if self.stage == Stage::Open {
                self.unplayable = None;
            }
        }
        self.has_started(now);
    }

    /// A segment is announced with its first part, and can be watched from then on.
    fn has_started(&mut self, now: UnixMillis) {
        if self.started_at.is_none() {
            self.started_at = Some(now);
            self.start = None;
            self.publisher.must_be_there();
        }
    }

    /// False where as much was known already.
    fn raise_floor(&mut self, floor: Floor) -> bool {
        let further = |known: &Floor| (floor.msn, floor.media_end) > (known.msn, known.media_end);
        let is_further = self.floor.as_ref().is_none_or(further);
        if is_further {
            self.floor = Some(floor);
        }
        is_further
    }

    /// The stream's worker is gone. The next one of a move takes its place, or a new one has to be found.
    fn lost(&mut self, now: UnixMillis, evidence: Evidence) {
        if !self.step_in(now, evidence) {
            self.worker_lost(now, evidence);
        }
    }

    fn worker_lost(&mut self, now: UnixMillis, evidence: Evidence) {
        if evidence.leaves_worker_closing() {
            self.wait_for_last_words(now);
        }
        self.losses.worker_replaced(now, &self.slot, Some(evidence));
        self.want_worker(now);
    }

    fn want_worker(&mut self, now: UnixMillis) {
        self.releasing.extend(self.slot.worker());
        self.epochs.give();
        self.slot = Slot::Wanted;
        self.no_worker = None;
        self.after_loss(now);
    }

    fn after_loss(&mut self, now: UnixMillis) {
        self.wait_for_a_worker(now);
        if self.stage == Stage::Open && self.losses.too_many() {
            self.close(now, EndReason::WorkersLost);
        }
    }

    /// The publisher waits for the next worker, if there is one that does: a publisher that is away has its window, however long it is
    /// without a worker.
    fn wait_for_a_worker(&mut self, now: UnixMillis) {
        if self.stage != Stage::Open {
            return;
        }
        self.publisher.worker_lost();
        if !self.publisher.is_lost() {
            self.recovery.get_or_insert(Deadline::after(now, RECOVERY_MS));
        }
    }

    fn acknowledged(&mut self, report: ReportKind) {
        match (report, &mut self.stage) {
            (ReportKind::Published, _) => self.published_acknowledged = true,
            (ReportKind::Done, Stage::Over { .. }) => self.done_acknowledged = true,
            // Nobody asked for it yet.
            (ReportKind::Done, _) => {}
        }
    }

    fn close(&mut self, now: UnixMillis, reason: EndReason) {
        let allowed = if reason == EndReason::Shutdown { SHUTDOWN_MS } else { CLOSING_MS };
        match &mut self.stage {
            Stage::Over { .. } => return,
            Stage::Closing { until, .. } => *until = (*until).min(Deadline::after(now, allowed)),
            Stage::Open => self.stage = Stage::Closing { reason, until: Deadline::after(now, allowed) },
        }
        self.start = None;
        self.no_room = None;
        self.recovery = None;
        // Behind the switch, the next worker closes the broadcast.
        self.give_up_move_before_the_switch(MoveFailure::Ended);
        if self.floor.is_none() {
            // Nothing was ever announced, so there is no playlist to close.
            self.over(now, reason);
        }
    }

    fn over(&mut self, now: UnixMillis, reason: EndReason) {
        self.give_up_move(MoveFailure::Ended);
        self.releasing.extend(self.slot.worker());
        // Whatever was claimed for a stream is withdrawn at its end.
        self.withdrawing.clear();
        self.parting = None;
        self.slot = Slot::Vacant;
        // A clock that was set back must not let it end before it began.
        let ended_at = self.started_at.map_or(now, |started| started.max(now));
        let forget = Some(Deadline::after(now, REMEMBER_MS));
        self.stage = Stage::Over { reason, ended_at, forget, forgotten: false };
    }

    fn is_serving(&self, epoch: Epoch) -> bool {
        epoch == self.epoch() && matches!(self.slot, Slot::Serving { .. })
    }
}

/// From creation to the first segment; a first keyframe may be 20 s away, a pod longer.
const START_MS: u32 = 60_000;
/// From a worker's loss, or the return of a publisher that finds none, until a replacement has the publisher, however many are tried.
const RECOVERY_MS: u32 = 60_000;
/// For ENDLIST: two workers may die on it.
const CLOSING_MS: u32 = 20_000;
/// The same while the platform stops; the whole stop may take 5 s.
const SHUTDOWN_MS: u32 = 3_000;
/// How long an ended stream and its media stay: for players that look once more, and for a router that asks the api
/// again with `ended`. The record stays longer when the api does not know of the end by then. Its media does not: an
/// api that cannot write because the disk is full would otherwise keep the disk full.
const REMEMBER_MS: u32 = 600_000;

#[cfg(test)]
mod diagram_tests;
#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
mod sequence_tests;
