//! One stream's owner: runs its lifecycle and makes the world fit the lifecycle's orders.

mod awaited_moves;
mod claiming;
mod credentials;
mod failed_jobs;
mod last_words;
mod missing_worker;
mod observed;
mod saving;
mod stream_workers;
mod worker_orders;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use caudal_livestream::admission::BroadcastHints;
use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::lifecycle::{Evidence, Input, Lifecycle, ReportKind, WorkerOrder};
use caudal_livestream::record::{LiveStream, MediaInfo, RelayFailures};
use caudal_livestream::{Epoch, SessionId, StreamId, WorkerId};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::clock::SteadyClock;
use crate::edit::{Edit, Refusal};
use crate::media::is_disposable;
use crate::metrics::Queue;
use crate::moved::{MoveError, Moved};
use crate::queue::{self, Queued, Receiver, Sender};
use crate::record_store::{Change, Record, Shown, Stored, WhenItFails};
use crate::reports::deliver;
use crate::workers::{Claimed, Presence};
use crate::{NewestChange, NotAssigned, Shared};
use awaited_moves::AwaitedMoves;
use claiming::Claiming;
use failed_jobs::FailedJobs;
use last_words::Following;
use observed::Observed;
use saving::Step;

/// What a stream is asked.
pub(crate) enum Command {
    Edit(Edit, oneshot::Sender<Result<Option<Arc<LiveStream>>, Refusal>>),
    RelayFailed(RelayFailures),
    Media(SessionId, MediaInfo),
    MediaRefused(SessionId, String),
    Move(oneshot::Sender<Result<Moved, MoveError>>),
    /// Answered once the stream is stored: no command is looked at before.
    Recorded(oneshot::Sender<()>),
}

/// What a job came to.
enum Outcome {
    Claimed(Epoch, Claimed),
    Assigned(Epoch, AssignmentMode),
    NotAssigned {
        epoch: Epoch,
        reason: NotAssigned,
        /// The highest epoch that storage knows to be claimed, where the worker refused.
        claimed: Option<Epoch>,
    },
    FeedEnded,
    Released(WorkerId),
    ClaimWithdrawn(Epoch),
    Withdrawn,
    Reported(ReportKind),
    MediaSettled,
    /// The pause behind a job's failure is over.
    Paused,
}

/// What has become of an ended stream's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MediaFate {
    /// It may still be watched.
    Needed,
    Leaving,
    /// It is gone, or stays for good: nothing more will be done about it.
    Settled,
}

/// What has become of workers that were claimed for an ended stream, and that its record does not know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claims {
    /// One may be in use.
    Open,
    Leaving,
    /// None is left.
    Settled,
}

/// The task of one stream. Its jobs end with it.
pub(crate) struct StreamTask {
    shared: Arc<Shared>,
    stream: StreamId,
    /// What the task goes by.
    record: Record,
    /// What the store has, as far as is known; none before the first write.
    stored: Option<Stored>,
    /// What the store has is older than `record`.
    unsaved: bool,
    /// Somebody removed the record.
    gone: bool,
    media: Option<MediaInfo>,
    /// What was measured and came with the answer to a write, for the machine to hear next.
    unheard: Option<Input>,
    moves: AwaitedMoves,
    published: Option<Arc<LiveStream>>,
    jobs: JoinSet<Outcome>,
    failed_jobs: FailedJobs,
    /// What is being done about workers: the stream's, and the one that it is being moved to.
    worker_jobs: HashMap<Epoch, (WorkerOrder, AbortHandle)>,
    claiming: Claiming,
    /// Workers in a row that did not take their assignment.
    refusals: u32,
    following: HashMap<Epoch, Following>,
    releasing: HashSet<WorkerId>,
    /// Epochs whose claim is being withdrawn.
    withdrawing: HashSet<Epoch>,
    reporting: Option<ReportKind>,
    claims: Claims,
    media_fate: MediaFate,
    clock: SteadyClock,
    inputs: (Sender<Input>, Receiver<Input>),
    observed: Observed,
}

impl StreamTask {
    /// The task of a stream that is `record` from now on; the store has `stored` of it, and the observer has been told of it as
    /// `published`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        mut record: Record,
        mut stored: Option<Stored>,
        published: Option<Arc<LiveStream>>,
    ) -> Self {
        let clock = SteadyClock::start(Arc::clone(&shared.wall));
        let now = clock.now();
        if let Some(unseen) = stored.as_mut().filter(|stored| stored.shown == Shown::NotYet) {
            // Alike, or it would be stored for that alone.
            record.machine.first_seen(now);
            unseen.record.machine.first_seen(now);
        }
        let metrics = &shared.carriers.metrics;
        let inputs = queue::channel(FEED_INPUTS, metrics.waiting(Queue::Streams));
        let traces = shared.carriers.traces.clone();
        let mut observed = Observed::new(metrics.clone(), traces, &record.machine);
        observed.is_in(published.as_ref().map(|known| known.status.phase));
        Self {
            shared,
            stream: record.stream(),
            unsaved: stored.as_ref().is_none_or(|stored| is_to_be_stored(&record, stored)),
            record,
            moves: AwaitedMoves::of(stored.as_ref().map(|stored| &stored.record.machine), now),
            stored,
            gone: false,
            media: None,
            unheard: None,
            published,
            jobs: JoinSet::new(),
            failed_jobs: FailedJobs::default(),
            worker_jobs: HashMap::new(),
            claiming: Claiming::default(),
            refusals: 0,
            following: HashMap::new(),
            releasing: HashSet::new(),
            withdrawing: HashSet::new(),
            reporting: None,
            claims: Claims::Open,
            media_fate: MediaFate::Needed,
            clock,
            inputs,
            observed,
        }
    }

    /// Runs the stream until it is forgotten or the controller is closed. `created` learns when it is recorded.
    pub(crate) async fn run(
        mut self,
        mut commands: Receiver<Command>,
        mut changes: watch::Receiver<NewestChange>,
        created: Option<oneshot::Sender<()>>,
    ) {
        let media = self.stored.as_ref().and_then(|stored| stored.media.as_ref());
        let first = media.and_then(hints_from).map_or(Input::Tick, Input::Measured);
        if self.take(Step::Heard(first)).await.is_ok() {
            // Also when there was nothing to store.
            self.act();
            if let Some(created) = created {
                // Whoever created it may have gone away meanwhile; the stream is there all the same.
                let _ = created.send(());
            }
        }
        let stop = self.shared.stop.clone();
        while !self.gone {
            let orders = self.machine().orders();
            // The record goes last: until then a restart takes up the removal again.
            if orders.forget && self.media_fate == MediaFate::Settled {
                break;
            }
            let wake = orders.wake.map(|wake| self.clock.until(wake));
            tokio::select! {
                () = stop.cancelled() => return,
                Some(command) = commands.recv() => self.command(command).await,
                Some(input) = self.inputs.1.recv() => self.handle(input).await,
                Some(outcome) = self.jobs.join_next() => self.job_ended(outcome).await,
                Ok(()) = changes.changed() => {
                    let change = changes.borrow_and_update().lock().unwrap_or_else(PoisonError::into_inner).take();
                    match change.map(Queued::take) {
                        Some(Change::Changed(newer)) => self.changed(*newer).await,
                        Some(Change::Removed(_)) => self.removed(),
                        None => {}
                    }
                }
                () = sleep(wake.unwrap_or_default()), if wake.is_some() => self.handle(Input::Tick).await,
            }
        }
        if stop.run_until_cancelled(self.leave()).await.is_some() {
            self.shared.forget(self.stream);
        }
    }

    /// While the stream is still known, so that nobody can create it anew in between.
    async fn leave(&mut self) {
        self.drop_jobs();
        self.withdraw_all().await;
        if self.gone {
            return;
        }
        let store = &self.shared.carriers.store;
        while let Err(error) = store.remove(self.stream).await {
            tracing::warn!(%error, stream = %self.stream, "cannot remove an ended stream's record");
            if store.when_it_fails() == WhenItFails::GoOn {
                return;
            }
            sleep(REMOVE_AGAIN).await;
        }
    }

    /// Somebody else has removed the record, perhaps without waiting for the broadcast's end.
    fn removed(&mut self) {
        self.gone = true;
        let last = self.published.as_deref().filter(|last| !last.status.phase.is_over());
        if let Some(last) = last {
            self.shared.carriers.observer.lost(last);
        }
    }

    fn machine(&self) -> &Lifecycle {
        &self.record.machine
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Edit(edit, reply) => {
                let newcomer = matches!(edit, Edit::Reconnect(_));
                let measured = self.media.take_if(|_| newcomer);
                let answer = self.take(Step::Asked(edit)).await;
                if answer.is_err() && newcomer {
                    self.media = measured;
                }
                let _ = reply.send(answer.map(|()| self.published.clone()));
            }
            Command::Move(reply) => self.move_on(reply).await,
            Command::Recorded(reply) => {
                let _ = reply.send(());
            }
            Command::RelayFailed(failures) => {
                // What cannot be taken up now comes again with the next failure, which counts this one too.
                let _ = self.take(Step::Asked(Edit::RelayFailed(failures))).await;
            }
            Command::Media(session, media) => {
                if self.record.spec.as_ref().is_some_and(|spec| spec.ingest.session == session) {
                    let hints = hints_from(&media);
                    self.media = Some(media);
                    if let Some(hints) = hints {
                        self.handle(Input::Measured(hints)).await;
                    }
                    self.publish();
                }
            }
            Command::MediaRefused(session, words) => {
                let ingest = self.record.spec.as_ref().map(|spec| &spec.ingest);
                if let Some(ingest) = ingest.filter(|ingest| ingest.session == session) {
                    let generation = ingest.generation;
                    self.handle(Input::MediaRefused(generation, words)).await;
                }
            }
        }
    }

    async fn move_on(&mut self, reply: oneshot::Sender<Result<Moved, MoveError>>) {
        if let Err(refusal) = self.machine().may_move() {
            let _ = reply.send(Err(refusal.into()));
            return;
        }
        self.handle(Input::Move).await;
        match self.machine().moves_to() {
            Some(epoch) => self.moves.wait(epoch, reply),
            // It is not stored, because the controller closes or another one leads.
            None => {
                let _ = reply.send(Err(MoveError::Unavailable("the move could not be recorded".to_owned())));
            }
        }
    }

    async fn job_ended(&mut self, outcome: Result<Outcome, tokio::task::JoinError>) {
        let input = match outcome {
            Ok(Outcome::Claimed(epoch, Claimed { worker, start })) => {
                self.worker_jobs.remove(&epoch);
                self.observed.claimed(epoch, start);
                Input::WorkerClaimed(epoch, worker)
            }
            Ok(Outcome::Assigned(epoch, mode)) => {
                self.shared.earshot.heard(self.stream);
                self.worker_jobs.remove(&epoch);
                self.refusals = 0;
                self.observed.assigned(epoch);
                Input::AssignmentTaken(epoch, mode)
            }
            Ok(Outcome::NotAssigned { epoch, reason, claimed }) => {
                self.refusals = self.refusals.saturating_add(1);
                self.observed.gave_up(epoch, &reason.to_string());
                let mut why = None;
                match reason {
                    NotAssigned::Unconnected(_) => self.shared.earshot.unreached(self.stream),
                    NotAssigned::Refused(_) => self.shared.earshot.heard(self.stream),
                    NotAssigned::Gone | NotAssigned::Unsettled(_) => {}
                }
                let evidence = match reason {
                    NotAssigned::Gone => Evidence::ProcessEnded,
                    NotAssigned::Unsettled(words)
                    | NotAssigned::Unconnected(words)
                    | NotAssigned::Refused(words) => {
                        why = Some(format!("the one before could not take the broadcast: {words}"));
                        self.moves.not_ready(epoch, words);
                        Evidence::NotAssigned
                    }
                };
                if let Some(claimed) = claimed {
                    self.handle(Input::EpochsClaimed(claimed)).await;
                }
                // Only now: until it counts as lost, it would be asked once more.
                self.worker_jobs.remove(&epoch);
                self.handle(Input::WorkerLost(epoch, evidence)).await;
                // What the next one meets too, as a storage that is full, would otherwise be in the log alone.
                let Some(why) = why else { return };
                Input::NoWorker(self.machine().epoch(), why)
            }
            Ok(Outcome::Released(worker)) => {
                self.releasing.remove(&worker);
                Input::Released(worker)
            }
            Ok(Outcome::ClaimWithdrawn(epoch)) => {
                self.withdrawing.remove(&epoch);
                Input::Withdrawn(epoch)
            }
            Ok(Outcome::Withdrawn) => {
                self.claims = Claims::Settled;
                return self.carry_out();
            }
            Ok(Outcome::Reported(kind)) => {
                self.reporting = None;
                Input::Acknowledged(kind)
            }
            Ok(Outcome::MediaSettled) => {
                self.media_fate = MediaFate::Settled;
                return;
            }
            Ok(Outcome::Paused) => {
                self.failed_jobs.waiting = false;
                return self.carry_out();
            }
            Ok(Outcome::FeedEnded) => return,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                // A panic in a job, nobody knows in which: start all again from the orders, as after a restart.
                tracing::error!(%error, stream = %self.stream, "a job of this stream failed");
                self.drop_jobs();
                let pause = self.failed_jobs.pause();
                self.jobs.spawn(async move {
                    sleep(pause).await;
                    Outcome::Paused
                });
                return;
            }
        };
        self.handle(input).await;
    }

    /// As after a restart: the orders say what is to be done again.
    fn drop_jobs(&mut self) {
        self.jobs.abort_all();
        self.failed_jobs.waiting = false;
        self.worker_jobs.clear();
        self.following.clear();
        self.reporting = None;
        self.releasing.clear();
        self.withdrawing.clear();
        self.claims = Claims::Open;
        self.media_fate = MediaFate::Needed;
    }

    async fn handle(&mut self, input: Input) {
        if let Input::Announced(_, floor) = &input {
            self.observed.announced(floor, self.shared.wall_now());
        }
        // Refused only while the controller closes: the stored record is as it was, and the next one goes on from it.
        let _ = self.take(Step::Heard(input)).await;
    }

    /// Shows what is stored, and makes the world fit it.
    fn act(&mut self) {
        self.publish();
        if self.machine().is_settled() {
            self.shared.settled(self.stream);
        }
        let failed = self.moves.note(&self.record.machine);
        if let (Some(error), Some(record)) = (failed, &self.published) {
            self.shared.carriers.observer.not_moved(record, &error);
        }
        self.observed.stands_so(&self.record.machine);
        self.carry_out();
    }

    fn publish(&mut self) {
        let shown = self.record.shown(self.media.clone());
        self.observed.is_in(shown.as_ref().map(|shown| shown.status.phase));
        let Some(record) = shown else {
            return self.shared.carriers.observer.hide(self.stream);
        };
        if self.published.as_deref() == Some(&record) {
            return;
        }
        let observer = &self.shared.carriers.observer;
        let record = Arc::new(record);
        observer.show(Arc::clone(&record));
        observer.changed(self.published.as_deref(), &record);
        self.published = Some(record);
    }

    fn carry_out(&mut self) {
        if self.failed_jobs.waiting {
            return;
        }
        let orders = self.machine().orders();
        self.withdraw_claims(&orders.withdraw);
        self.order_workers([orders.worker, orders.next]);
        self.follow([orders.follow, orders.follow_next, orders.follow_parting]);
        for worker in orders.release {
            if self.releasing.insert(worker.worker) {
                let workers = Arc::clone(&self.shared.carriers.workers);
                let waits = self.shared.carriers.metrics.waits(Queue::Releases);
                self.jobs.spawn(async move {
                    let _waits = waits;
                    let mut backoff = Backoff::new(ASK_AGAIN, RELEASE_AGAIN);
                    while workers.release(worker.worker).await == Presence::Unknown {
                        backoff.wait().await;
                    }
                    Outcome::Released(worker.worker)
                });
            }
        }
        if orders.wants_no_worker && self.claims == Claims::Open {
            self.claims = Claims::Leaving;
            let withdrawn = self.withdraw_all();
            self.jobs.spawn(async move {
                withdrawn.await;
                Outcome::Withdrawn
            });
        }
        if orders.remove_media && self.claims == Claims::Settled && self.media_fate == MediaFate::Needed {
            self.remove_media();
        }
        if self.reporting.is_none()
            && let Some(report) = orders.report
        {
            self.reporting = Some(report.kind());
            let delivery = deliver(Arc::clone(&self.shared.carriers.api), report);
            let waits = self.shared.carriers.metrics.waits(Queue::Reports);
            self.jobs.spawn(async move {
                let _waits = waits;
                Outcome::Reported(delivery.await)
            });
        }
    }

    fn remove_media(&mut self) {
        if !is_disposable(self.record.spec.as_ref()) {
            self.media_fate = MediaFate::Settled;
            return;
        }
        self.media_fate = MediaFate::Leaving;
        let (shared, stream) = (Arc::clone(&self.shared), self.stream);
        self.jobs.spawn(async move {
            while shared.carriers.store.is_paused(stream) {
                sleep(PAUSED_STILL).await;
            }
            if shared.media_may_go(stream).await {
                shared.media.remove(stream).await;
            }
            Outcome::MediaSettled
        });
    }
}

/// Whether the store lacks something of `record` that others go by. One that nobody has stored yet, and for which a worker is to be found,
/// is stored with the worker that it gets.
fn is_to_be_stored(record: &Record, stored: &Stored) -> bool {
    let unseen_end = stored.shown == Shown::NotYet && record.machine.end_reason().is_some();
    stored.record != *record || stored.shown == Shown::Otherwise || unseen_end
}

/// What the next broadcast may expect, from what the router measured of this one.
fn hints_from(media: &MediaInfo) -> Option<BroadcastHints> {
    let keyframe_ms = media.keyframe_interval_ms?;
    let max_frame_ms = 1_000_000_u32.div_ceil(media.fps_milli.max(1)).min(LONGEST_FRAME_MS);
    (media.fps_milli > 0).then_some(BroadcastHints { keyframe_ms, max_frame_ms, fps_milli: media.fps_milli })
}

/// Feed events that wait for this task; a feed that is further ahead is not read meanwhile.
const FEED_INPUTS: usize = 64;
/// Between two tries to get a worker, or to end one that is not known yet.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Nobody waits for it, and after an outage there are many.
const RELEASE_AGAIN: Duration = Duration::from_secs(10);
/// Between two tries to remove a record. Nobody waits for that.
const REMOVE_AGAIN: Duration = Duration::from_secs(10);
/// Nobody waits for the media of what was paused to go.
const PAUSED_STILL: Duration = Duration::from_secs(10);
/// One frame a second is the slowest that anything is planned for.
const LONGEST_FRAME_MS: u32 = 1_000;
