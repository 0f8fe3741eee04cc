//! One stream's owner: runs its lifecycle and makes the world fit the lifecycle's orders.

mod saving;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::admission::BroadcastHints;
use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::lifecycle::{Evidence, Input, Lifecycle, ReportKind, WorkerOrder};
use caudal_livestream::proof::SignedAssignment;
use caudal_livestream::record::{LiveStream, MediaInfo, RelayFailures, WorkerAddress};
use caudal_livestream::{Epoch, SessionId, StreamId, UnixMillis, WorkerId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::Shared;
use crate::clock::SteadyClock;
use crate::edit::{Edit, Refusal};
use crate::follow::Follower;
use crate::media::is_disposable;
use crate::record_store::{Change, Record, Stored, WhenItFails};
use crate::reports::deliver;
use crate::worker_link::NotAssigned;
use crate::workers::{ClaimError, Presence};
use saving::Step;

/// What a stream is asked.
pub(crate) enum Command {
    Edit(Edit, oneshot::Sender<Result<Option<Arc<LiveStream>>, Refusal>>),
    RelayFailed(RelayFailures),
    Media(SessionId, MediaInfo),
    MediaRefused(SessionId, String),
}

/// What a job came to.
enum Outcome {
    Claimed(Epoch, WorkerAddress),
    Assigned(Epoch, AssignmentMode),
    NotAssigned(Epoch),
    FeedEnded,
    Released(WorkerId),
    Withdrawn,
    Reported(ReportKind),
    MediaRemoved,
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
    published: Option<Arc<LiveStream>>,
    jobs: JoinSet<Outcome>,
    worker_job: Option<(WorkerOrder, AbortHandle)>,
    following: Option<(Epoch, AbortHandle)>,
    releasing: HashSet<WorkerId>,
    reporting: Option<ReportKind>,
    claims: Claims,
    media_fate: MediaFate,
    clock: SteadyClock,
    inputs: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
}

impl StreamTask {
    /// The task of a stream that is `record` from now on; the store has `stored` of it.
    pub(crate) fn new(shared: Arc<Shared>, record: Record, stored: Option<Stored>) -> Self {
        let clock = SteadyClock::start(Arc::clone(&shared.wall));
        Self {
            shared,
            stream: record.stream(),
            unsaved: stored.as_ref().is_none_or(|stored| stored.record != record),
            record,
            stored,
            gone: false,
            media: None,
            published: None,
            jobs: JoinSet::new(),
            worker_job: None,
            following: None,
            releasing: HashSet::new(),
            reporting: None,
            claims: Claims::Open,
            media_fate: MediaFate::Needed,
            clock,
            inputs: mpsc::channel(FEED_INPUTS),
        }
    }

    /// Runs the stream until it is forgotten or the controller is closed. `created` learns when it is recorded.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut changes: watch::Receiver<Option<Change>>,
        created: Option<oneshot::Sender<()>>,
    ) {
        if self.take(Step::Heard(Input::Tick)).await.is_ok() {
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
                    let change = changes.borrow_and_update().clone();
                    match change {
                        Some(Change::Changed(newer)) => self.changed(*newer).await,
                        Some(Change::Removed(_)) => self.gone = true,
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
        self.shared.carriers.workers.withdraw(self.stream).await;
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

    async fn job_ended(&mut self, outcome: Result<Outcome, tokio::task::JoinError>) {
        let input = match outcome {
            Ok(Outcome::Claimed(epoch, worker)) => {
                self.worker_job = None;
                Input::WorkerClaimed(epoch, worker)
            }
            Ok(Outcome::Assigned(epoch, mode)) => {
                self.worker_job = None;
                Input::AssignmentTaken(epoch, mode)
            }
            Ok(Outcome::NotAssigned(epoch)) => {
                self.worker_job = None;
                Input::WorkerLost(epoch, Evidence::NotAssigned)
            }
            Ok(Outcome::Released(worker)) => {
                self.releasing.remove(&worker);
                Input::Released(worker)
            }
            Ok(Outcome::Withdrawn) => {
                self.claims = Claims::Settled;
                return self.carry_out();
            }
            Ok(Outcome::Reported(kind)) => {
                self.reporting = None;
                Input::Acknowledged(kind)
            }
            Ok(Outcome::MediaRemoved) => {
                self.media_fate = MediaFate::Settled;
                return;
            }
            Ok(Outcome::FeedEnded) => return,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                // A panic in a job, nobody knows in which: start all again from the orders, as after a restart.
                tracing::error!(%error, stream = %self.stream, "a job of this stream failed");
                self.drop_jobs();
                return self.carry_out();
            }
        };
        self.handle(input).await;
    }

    /// As after a restart: the orders say what is to be done again.
    fn drop_jobs(&mut self) {
        self.jobs.abort_all();
        self.worker_job = None;
        self.following = None;
        self.reporting = None;
        self.releasing.clear();
        self.claims = Claims::Open;
        self.media_fate = MediaFate::Needed;
    }

    async fn handle(&mut self, input: Input) {
        // Refused only while the controller closes: the stored record is as it was, and the next one goes on from it.
        let _ = self.take(Step::Heard(input)).await;
    }

    /// Shows what is stored, and makes the world fit it.
    fn act(&mut self) {
        self.publish();
        if self.machine().is_settled() {
            self.shared.settled(self.stream);
        }
        self.carry_out();
    }

    fn publish(&mut self) {
        let Some(record) = self.record.shown(self.media.clone()) else {
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
        let orders = self.machine().orders();
        self.order_worker(orders.worker);
        self.follow(orders.follow);
        for worker in orders.release {
            if self.releasing.insert(worker.worker) {
                let workers = Arc::clone(&self.shared.carriers.workers);
                self.jobs.spawn(async move {
                    while workers.release(worker.worker).await == Presence::Unknown {
                        sleep(ASK_AGAIN).await;
                    }
                    Outcome::Released(worker.worker)
                });
            }
        }
        if orders.wants_no_worker && self.claims == Claims::Open {
            self.claims = Claims::Leaving;
            let withdrawn = self.shared.carriers.workers.withdraw(self.stream);
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
            self.jobs.spawn(async move { Outcome::Reported(delivery.await) });
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
            shared.media.remove(stream).await;
            Outcome::MediaRemoved
        });
    }

    fn order_worker(&mut self, order: Option<WorkerOrder>) {
        match (&self.worker_job, order) {
            (None, None) => {}
            (Some((running, _)), Some(order)) if *running == order => {}
            // A request that is on its way to the worker is answered before another is sent.
            (
                Some((WorkerOrder::Assign { worker: busy, .. }, _)),
                Some(WorkerOrder::Assign { worker, .. }),
            ) if *busy == worker => {}
            (_, order) => {
                if let Some((_, running)) = self.worker_job.take() {
                    running.abort();
                }
                let Some(order) = order else { return };
                let job = match order {
                    WorkerOrder::Claim(epoch) => {
                        let claimed =
                            claim(Arc::clone(&self.shared), self.stream, epoch, self.inputs.0.clone());
                        self.jobs.spawn(async move { Outcome::Claimed(epoch, claimed.await) })
                    }
                    WorkerOrder::Assign { epoch, worker, mode } => {
                        let assignment = self.assignment(epoch, worker, mode);
                        let shared = Arc::clone(&self.shared);
                        self.jobs.spawn(async move {
                            match assign(&shared, worker, assignment).await {
                                Ok(()) => Outcome::Assigned(epoch, mode),
                                Err(reason) => {
                                    tracing::warn!(reason, %epoch, worker = %worker.worker, "assignment failed");
                                    Outcome::NotAssigned(epoch)
                                }
                            }
                        })
                    }
                };
                self.worker_job = Some((order, job));
            }
        }
    }

    fn assignment(&self, epoch: Epoch, worker: WorkerAddress, mode: AssignmentMode) -> Option<Assignment> {
        let spec = self.record.spec.as_ref()?;
        let carriers = &self.shared.carriers;
        Some(Assignment {
            worker: worker.worker,
            stream: self.stream,
            epoch,
            generation: self.machine().generation(),
            mode,
            floor: self.machine().floor(),
            ladder: spec.renditions.clone(),
            latency_mode: spec.latency_mode,
            record: spec.record,
            hints: spec.hints,
            input_key_digest: carriers.router_key.proof(self.stream, epoch).digest(),
            feed_key_digest: carriers.feed_key.proof(self.stream, epoch).digest(),
            // Set when it is sent.
            expires: UnixMillis(0),
        })
    }

    fn follow(&mut self, follow: Option<(Epoch, WorkerAddress)>) {
        if self.following.as_ref().map(|(epoch, _)| *epoch) == follow.map(|(epoch, _)| epoch) {
            return;
        }
        if let Some((_, job)) = self.following.take() {
            job.abort();
        }
        let Some((epoch, worker)) = follow else { return };
        let carriers = &self.shared.carriers;
        let follower = Follower {
            link: Arc::clone(&carriers.link),
            workers: Arc::clone(&carriers.workers),
            worker,
            epoch,
            proof: carriers.feed_key.proof(self.stream, epoch),
            inputs: self.inputs.0.clone(),
        };
        let job = self.jobs.spawn(async move {
            follower.run().await;
            Outcome::FeedEnded
        });
        self.following = Some((epoch, job));
    }
}

/// A worker for this epoch, as soon as there is one. Says when that is a question of room.
async fn claim(
    shared: Arc<Shared>,
    stream: StreamId,
    epoch: Epoch,
    inputs: mpsc::Sender<Input>,
) -> WorkerAddress {
    let carriers = &shared.carriers;
    loop {
        match carriers.workers.claim(stream, epoch, &carriers.pool).await {
            Ok(worker) => return worker,
            Err(ClaimError::NoCapacity) => {
                // Nobody listens only when this is not wanted any more either.
                let _ = inputs.send(Input::NoCapacity(epoch)).await;
            }
            Err(error @ ClaimError::Unavailable(_)) => tracing::warn!(%error, %stream, %epoch),
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Sends a worker its assignment; the error says why it did not take it.
async fn assign(
    shared: &Shared,
    worker: WorkerAddress,
    assignment: Option<Assignment>,
) -> Result<(), String> {
    let carriers = &shared.carriers;
    let Some(mut assignment) = assignment else { return Err("nobody created the stream".to_owned()) };
    let exited = async {
        match carriers.workers.exited(worker.worker).await {
            Presence::Gone => {}
            Presence::Unknown => std::future::pending().await,
        }
    };
    tokio::pin!(exited);
    let mut tries = 0_u32;
    loop {
        // Worker and controller both go by the machine's clock. It may be set between two tries.
        assignment.expires = UnixMillis(shared.wall_now().0.saturating_add(ASSIGNMENT_VALID_MS));
        let signed =
            SignedAssignment::sign(&assignment, &carriers.assignments).map_err(|error| error.to_string())?;
        let outcome = tokio::select! {
            outcome = carriers.link.assign(&worker, &signed) => outcome,
            () = &mut exited => return Err("its process ended".to_owned()),
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(NotAssigned::AskAgain(_)) if tries < ASSIGN_RETRIES => {
                tries = tries.saturating_add(1);
                sleep(ASSIGN_PAUSE).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// What the next broadcast may expect, from what the router measured of this one.
fn hints_from(media: &MediaInfo) -> Option<BroadcastHints> {
    let keyframe_ms = media.keyframe_interval_ms?;
    let max_frame_ms = 1_000_000_u32.div_ceil(media.fps_milli.max(1)).min(LONGEST_FRAME_MS);
    (media.fps_milli > 0).then_some(BroadcastHints { keyframe_ms, max_frame_ms, fps_milli: media.fps_milli })
}

/// Feed events that wait for this task; a feed that is further ahead is not read meanwhile.
const FEED_INPUTS: usize = 64;
/// From the choice of a worker to its taking the assignment, over a change of controller and clocks that differ.
const ASSIGNMENT_VALID_MS: i64 = 90_000;
/// Between two tries to get a worker, or to end one that is not known yet.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASSIGN_RETRIES: u32 = 2;
const ASSIGN_PAUSE: Duration = Duration::from_millis(200);
/// Between two tries to remove a record. Nobody waits for that.
const REMOVE_AGAIN: Duration = Duration::from_secs(10);
/// One frame a second is the slowest that anything is planned for.
const LONGEST_FRAME_MS: u32 = 1_000;
