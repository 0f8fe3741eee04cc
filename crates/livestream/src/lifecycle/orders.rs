//! What a broadcast wants of the world, and how it looks from outside.

use super::{Lifecycle, PlannedMove, Publisher, ReportKind, Slot, Stage};
use crate::assignment::{AssignmentMode, Floor};
use crate::record::{MediaInfo, Phase, Status, WorkerAddress};
use crate::report::{Done, EndReason, Published};
use crate::{Epoch, Generation, StreamId, UnixMillis};

/// What ought to be. Store the machine before acting on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Orders {
    /// What is to be done about a worker.
    pub worker: Option<WorkerOrder>,
    /// The worker whose feed is to be followed, and its epoch.
    pub follow: Option<(Epoch, WorkerAddress)>,
    /// What is to be done about the worker of a planned move.
    pub next: Option<WorkerOrder>,
    /// That worker, once it is ready: its feed is to be followed too.
    pub follow_next: Option<(Epoch, WorkerAddress)>,
    /// The worker that the stream had, while it closes what it has: its feed is to be followed until it has.
    pub follow_parting: Option<(Epoch, WorkerAddress)>,
    /// No worker of this stream's is wanted any more, not even one whose claim was never stored.
    pub wants_no_worker: bool,
    /// Workers that are to be ended.
    pub release: Vec<WorkerAddress>,
    /// Epochs whose worker is to be ended if one was claimed: whoever asked for it did not wait for the answer.
    pub withdraw: Vec<Epoch>,
    /// What the api is to be told, until it acknowledges.
    pub report: Option<ReportOrder>,
    /// When to say [`super::Input::Tick`], if nothing else happens before.
    pub wake: Option<UnixMillis>,
    /// Nobody will watch it any more, and no worker writes it: its media goes, unless it is a recording.
    pub remove_media: bool,
    /// Nobody needs this stream any more. Its record goes after its media.
    pub forget: bool,
}

/// What is to be done about a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerOrder {
    /// Find one, nobody else's, for this epoch.
    Claim(Epoch),
    /// Send it its assignment.
    Assign {
        /// Its epoch.
        epoch: Epoch,
        /// Whom.
        worker: WorkerAddress,
        /// What for.
        mode: AssignmentMode,
    },
}

impl WorkerOrder {
    /// Of the worker that it is about.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Claim(epoch) | Self::Assign { epoch, .. } => *epoch,
        }
    }
}

/// What the api is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportOrder {
    /// The first segment can be watched.
    Published(Published),
    /// It is over.
    Done(Done),
}

impl ReportOrder {
    /// Which one.
    pub fn kind(&self) -> ReportKind {
        match self {
            Self::Published(_) => ReportKind::Published,
            Self::Done(_) => ReportKind::Done,
        }
    }
}

impl Lifecycle {
    /// What ought to be now.
    pub fn orders(&self) -> Orders {
        let open = self.stage == Stage::Open;
        let mode = if open { AssignmentMode::Live } else { AssignmentMode::Finish };
        let assign = |worker| Some(WorkerOrder::Assign { epoch: self.epoch(), worker, mode });
        let (worker, follow) = match self.slot {
            Slot::Wanted => (Some(WorkerOrder::Claim(self.epoch())), None),
            // The floor in its assignment is the last word of the one before.
            Slot::Claimed { .. } if self.parting.is_some() => (None, None),
            // It was asked to prepare as its predecessor was lost, and has taken that meanwhile.
            Slot::Serving { worker, prepared: true, .. } if self.parting.is_some() => {
                (None, Some((self.epoch(), worker)))
            }
            Slot::Claimed { worker } => (assign(worker), None),
            Slot::Serving { worker, finishing, prepared, .. } => {
                let told = if open { !prepared } else { finishing };
                // A worker that hands over closes by itself, and its successor writes the end.
                let order = if told || self.is_handing_over() { None } else { assign(worker) };
                (order, Some((self.epoch(), worker)))
            }
            Slot::Vacant => (None, None),
        };
        let unwatched = matches!(self.stage, Stage::Over { forgotten: true, .. });
        let remove_media = unwatched && self.releasing.is_empty();
        Orders {
            worker,
            follow,
            next: self.next_order(),
            follow_next: self.next_worker().map(|next| (next.epoch, next.address)),
            follow_parting: self.parting.map(|parting| (parting.epoch, parting.worker)),
            wants_no_worker: self.slot == Slot::Vacant,
            release: self.releasing.clone(),
            withdraw: self.withdrawing.clone(),
            report: self.report(),
            wake: self.wake(),
            remove_media,
            forget: remove_media && self.done_acknowledged,
        }
    }

    /// Whose life this is.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// The last position that is known to have been announced; what a new worker begins behind.
    pub fn floor(&self) -> Option<Floor> {
        self.floor
    }

    /// The lowest publisher generation that a worker is to accept.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The newest choice of a worker.
    pub fn epoch(&self) -> Epoch {
        self.epochs.current()
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        match self.stage {
            Stage::Over { reason, .. } if reason.is_failure() => Phase::Failed,
            Stage::Over { .. } => Phase::Ended,
            Stage::Closing { .. } => Phase::Ending,
            Stage::Open if self.started_at.is_some() => match self.publisher {
                Publisher::Lost { .. } => Phase::Reconnecting,
                Publisher::Expected | Publisher::Up | Publisher::Awaited { .. } => Phase::Live,
            },
            // A replaced worker does not make it pending again.
            Stage::Open if self.epoch() > Epoch(1) || matches!(self.slot, Slot::Serving { .. }) => {
                Phase::Starting
            }
            Stage::Open => Phase::Pending,
        }
    }

    /// Whether its publisher left, and is waited for.
    pub fn publisher_is_away(&self) -> bool {
        self.stage == Stage::Open && matches!(self.publisher, Publisher::Lost { .. })
    }

    /// Why it ended or is being closed.
    pub fn end_reason(&self) -> Option<EndReason> {
        match self.stage {
            Stage::Closing { reason, .. } | Stage::Over { reason, .. } => Some(reason),
            Stage::Open => None,
        }
    }

    /// True once the api knows that it is over.
    pub fn is_settled(&self) -> bool {
        self.done_acknowledged
    }

    /// What everybody may know of it. `media` is the router's part.
    pub fn status(&self, media: Option<MediaInfo>) -> Status {
        let (worker, no_worker) = match self.slot {
            Slot::Serving { worker, .. } => (Some(worker), None),
            Slot::Wanted => (None, self.no_worker.clone()),
            Slot::Claimed { .. } | Slot::Vacant => (None, None),
        };
        let waits_for = match (self.publisher, &self.slot) {
            (Publisher::Lost { .. }, _) => Some("waiting for the publisher".to_owned()),
            (_, Slot::Wanted | Slot::Claimed { .. }) => Some(waiting_for_a_worker(no_worker.as_deref())),
            (_, Slot::Serving { .. } | Slot::Vacant) => None,
        };
        let no_credentials = self.no_credentials_in_words();
        let (deadline, ended_at) = match self.stage {
            Stage::Open | Stage::Closing { .. } => (self.phase_deadline(), None),
            Stage::Over { ended_at, .. } => (None, Some(ended_at)),
        };
        Status {
            phase: self.phase(),
            deadline,
            epoch: self.epoch(),
            worker,
            next: self.next_worker(),
            no_worker,
            without_replay: self.losses.replay_is_suspect(),
            media,
            started_at: self.started_at,
            ended_at,
            end_reason: self.end_reason(),
            reason: self
                .end_reason()
                .map(|reason| {
                    let detail = self.end_detail().or(no_credentials.as_deref());
                    reason.in_words(detail.or(self.no_worker_at_the_end()))
                })
                .or(self.turned_away_in_words())
                .or(no_credentials)
                .or(waits_for),
        }
    }

    /// A worker that has none is not assigned, so this is what a start that takes too long has failed of.
    fn no_credentials_in_words(&self) -> Option<String> {
        let reason = self.no_credentials.as_deref()?;
        Some(format!("there are no storage credentials for its worker ({reason})"))
    }

    /// Encoders try again by themselves and show nobody why they have to.
    fn turned_away_in_words(&self) -> Option<String> {
        self.unplayable.as_deref().map(|words| EndReason::NothingPlayable.in_words(Some(words)))
    }

    /// What a broadcast has failed of that ended without a worker.
    fn no_worker_at_the_end(&self) -> Option<&str> {
        let for_want_of_one =
            matches!(self.end_reason(), Some(EndReason::NoCapacity | EndReason::WorkersLost));
        self.no_worker.as_deref().filter(|_| for_want_of_one)
    }

    fn end_detail(&self) -> Option<&str> {
        self.unplayable.as_deref().filter(|_| self.end_reason() == Some(EndReason::NothingPlayable))
    }

    fn report(&self) -> Option<ReportOrder> {
        if let Some(started_at) = self.started_at
            && !self.published_acknowledged
        {
            return Some(ReportOrder::Published(Published { stream: self.stream, started_at }));
        }
        match self.stage {
            Stage::Over { reason, ended_at, .. } if !self.done_acknowledged => {
                Some(ReportOrder::Done(Done {
                    stream: self.stream,
                    published: self.started_at.is_some(),
                    started_at: self.started_at,
                    ended_at,
                    reason,
                    detail: self.end_detail().map(str::to_owned),
                    hints: self.hints,
                }))
            }
            _ => None,
        }
    }

    fn wake(&self) -> Option<UnixMillis> {
        let planned = self.planned.as_ref().map(PlannedMove::wake);
        let move_again = self.move_again.map(super::Deadline::at);
        let parting = self.parting.map(|parting| parting.until.at());
        [self.phase_deadline(), planned, move_again, parting].into_iter().flatten().min()
    }

    fn phase_deadline(&self) -> Option<UnixMillis> {
        let without_worker = !matches!(self.slot, Slot::Serving { .. });
        let deadline = match self.stage {
            Stage::Open => {
                let recovery = self.recovery.filter(|_| without_worker);
                let room = self.no_room.map(|no_room| no_room.until());
                [self.start, room, recovery, self.publisher.deadline()].into_iter().flatten().min()
            }
            Stage::Closing { until, .. } => Some(until),
            Stage::Over { forgotten: true, .. } => None,
            Stage::Over { forget, .. } => forget,
        };
        deadline.map(super::Deadline::at)
    }
}

fn waiting_for_a_worker(why: Option<&str>) -> String {
    why.map_or_else(|| WAITING_FOR_A_WORKER.to_owned(), |why| format!("{WAITING_FOR_A_WORKER}: {why}"))
}

/// How the reason of a broadcast begins that has no worker; behind a colon, why not.
pub const WAITING_FOR_A_WORKER: &str = "waiting for a worker";
