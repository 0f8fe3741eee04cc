//! One stream's owner: runs its lifecycle and makes the world fit the lifecycle's orders.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use caudal_livestream::admission::BroadcastHints;
use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::lifecycle::{Evidence, Input, Lifecycle, ReportKind, WorkerOrder};
use caudal_livestream::proof::SignedAssignment;
use caudal_livestream::record::{
    DesiredState, DropPublisher, Ingest, LiveStream, MediaInfo, RelayFailures, WorkerAddress,
};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, SessionId, StreamId, UnixMillis, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::Shared;
use super::clock::SteadyClock;
use super::follow::Follower;
use super::media::is_disposable;
use super::notice::Notice;
use super::store::{Durability, Stored};
use crate::{AssignError, ReconnectError};

/// What the directory's users ask of a stream.
pub(super) enum Command {
    Reconnect(Ingest, oneshot::Sender<Result<Arc<LiveStream>, ReconnectError>>),
    RelayFailed(RelayFailures),
    Media(SessionId, MediaInfo),
    MediaRefused(SessionId, String),
    End(EndReason, oneshot::Sender<()>),
    DropPublisher(String, oneshot::Sender<()>),
    RevokeKey(oneshot::Sender<()>),
}

/// What a job came to.
enum Outcome {
    Claimed(Epoch, WorkerAddress),
    Assigned(Epoch, AssignmentMode),
    NotAssigned(Epoch),
    FeedEnded,
    Released(WorkerId),
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

/// The task of one stream. Its jobs end with it.
pub(super) struct StreamTask {
    shared: Arc<Shared>,
    stream: StreamId,
    stored: Stored,
    media: Option<MediaInfo>,
    published: Option<Arc<LiveStream>>,
    jobs: JoinSet<Outcome>,
    worker_job: Option<(WorkerOrder, AbortHandle)>,
    following: Option<(Epoch, AbortHandle)>,
    releasing: HashSet<WorkerId>,
    reporting: Option<ReportKind>,
    media_fate: MediaFate,
    clock: SteadyClock,
    inputs: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    /// What is on disk is older than `stored`.
    unsaved: bool,
}

impl StreamTask {
    pub(super) fn new(shared: Arc<Shared>, stream: StreamId, stored: Stored) -> Self {
        let clock = SteadyClock::start(Arc::clone(&shared.wall));
        Self {
            shared,
            stream,
            stored,
            media: None,
            published: None,
            jobs: JoinSet::new(),
            worker_job: None,
            following: None,
            releasing: HashSet::new(),
            reporting: None,
            media_fate: MediaFate::Needed,
            clock,
            inputs: mpsc::channel(FEED_INPUTS),
            unsaved: true,
        }
    }

    /// Runs the stream until it is forgotten or the directory is closed. `created` learns when it is recorded.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        created: Option<oneshot::Sender<Option<Arc<LiveStream>>>>,
    ) {
        self.settle(Durability::Synced).await;
        if let Some(created) = created {
            // Whoever created it may have gone away meanwhile; the stream is there all the same.
            let _ = created.send(self.published.clone());
        }
        let stop = self.shared.stop.clone();
        loop {
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
                () = sleep(wake.unwrap_or_default()), if wake.is_some() => self.handle(Input::Tick).await,
            }
        }
        // While it is still known, so that nobody can create it anew in between.
        if let Err(error) = self.shared.store.remove(self.stream).await {
            tracing::warn!(%error, stream = %self.stream, "cannot remove an ended stream's file");
        }
        self.shared.forget(self.stream);
    }

    fn machine(&self) -> &Lifecycle {
        &self.stored.machine
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Reconnect(ingest, reply) => {
                let answer = self.reconnect(ingest).await;
                let _ = reply.send(answer);
            }
            Command::RelayFailed(failures) => self.relay_failed(failures).await,
            Command::Media(session, media) => {
                if self.stored.spec.as_ref().is_some_and(|spec| spec.ingest.session == session) {
                    let hints = hints_from(&media);
                    self.media = Some(media);
                    match hints {
                        Some(hints) => self.handle(Input::Measured(hints)).await,
                        None => self.publish(),
                    }
                }
            }
            Command::MediaRefused(session, words) => {
                let ingest = self.stored.spec.as_ref().map(|spec| &spec.ingest);
                if let Some(ingest) = ingest.filter(|ingest| ingest.session == session) {
                    let generation = ingest.generation;
                    self.handle(Input::MediaRefused(generation, words)).await;
                }
            }
            Command::End(reason, reply) => {
                if let Some(spec) = &mut self.stored.spec {
                    spec.desired_state = DesiredState::Ended;
                    spec.end_reason.get_or_insert(reason);
                    self.unsaved = true;
                }
                self.handle(Input::End(reason)).await;
                let _ = reply.send(());
            }
            Command::DropPublisher(reason, reply) => {
                if let Some(spec) = &mut self.stored.spec {
                    spec.drop = Some(DropPublisher { session: spec.ingest.session, reason });
                    self.unsaved = true;
                }
                self.settle(Durability::Synced).await;
                let _ = reply.send(());
            }
            Command::RevokeKey(reply) => {
                if let Some(spec) = &mut self.stored.spec {
                    spec.key_revoked = true;
                    self.unsaved = true;
                }
                self.handle(Input::KeyRevoked).await;
                let _ = reply.send(());
            }
        }
    }

    async fn relay_failed(&mut self, failures: RelayFailures) {
        let ingest = self.stored.spec.as_mut().map(|spec| &mut spec.ingest);
        let Some(ingest) = ingest.filter(|ingest| ingest.session == failures.session) else { return };
        let new = failures.new_since(ingest.relay.as_ref());
        if new == 0 {
            return;
        }
        ingest.relay = Some(failures);
        for _ in 0..new.min(RELAY_FAILURES_AT_ONCE) {
            self.handle(Input::RelayFailed(failures.epoch)).await;
        }
        self.publish();
    }

    async fn reconnect(&mut self, ingest: Ingest) -> Result<Arc<LiveStream>, ReconnectError> {
        let phase = self.machine().phase();
        let Some(spec) = &mut self.stored.spec else { return Err(ReconnectError::Unknown) };
        if phase.is_over() {
            return Err(ReconnectError::Over(phase));
        }
        if ingest.generation != spec.ingest.generation.next() {
            return Err(ReconnectError::Stale(spec.ingest.generation));
        }
        let generation = ingest.generation;
        spec.ingest = ingest;
        // It was meant for the one before.
        spec.drop = None;
        self.media = None;
        self.unsaved = true;
        self.handle(Input::PublisherChosen(generation)).await;
        self.published.clone().ok_or(ReconnectError::Unknown)
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
                self.jobs.abort_all();
                self.worker_job = None;
                self.following = None;
                self.reporting = None;
                self.releasing.clear();
                self.media_fate = MediaFate::Needed;
                return self.carry_out();
            }
        };
        self.handle(input).await;
    }

    async fn handle(&mut self, input: Input) {
        let before = self.stored.machine.clone();
        if let Some(by_ms) = self.clock.take_step() {
            tracing::debug!(stream = %self.stream, by_ms, "the machine's clock was set");
            self.stored.machine.clock_stepped(by_ms);
        }
        self.stored.machine.handle(self.clock.now(), input);
        if before == self.stored.machine && !self.unsaved {
            return;
        }
        let acted_on = self.unsaved || before.orders() != self.stored.machine.orders();
        self.unsaved = true;
        self.settle(if acted_on { Durability::Synced } else { Durability::Lazy }).await;
    }

    /// Stores what is known, shows it, and only then acts on it.
    async fn settle(&mut self, durability: Durability) {
        if self.unsaved {
            match self.shared.store.save(self.stream, &self.stored, durability).await {
                Ok(()) => {
                    self.unsaved = false;
                    if self.shared.store_fails.swap(false, Ordering::Relaxed) {
                        tracing::info!("the streams' states can be stored again");
                    }
                }
                // A full disk must not end a running stream; what is lost is only its recovery after a crash, and
                // an epoch that is chosen twice then is still claimed only once, in storage.
                Err(error) if self.shared.store_fails.swap(true, Ordering::Relaxed) => {
                    tracing::debug!(%error, stream = %self.stream, "cannot store the stream's state");
                }
                Err(error) => {
                    tracing::error!(%error, stream = %self.stream, "cannot store the streams' states; they go on, and would be lost if this process ended now");
                }
            }
        }
        self.publish();
        if self.machine().is_settled() {
            self.shared.settled(self.stream);
        }
        self.carry_out();
    }

    fn publish(&mut self) {
        if self.machine().orders().forget {
            return self.shared.hide(self.stream);
        }
        let Some(spec) = self.stored.spec.clone() else { return };
        let record = LiveStream { spec, status: self.machine().status(self.media.clone()) };
        if self.published.as_deref() == Some(&record) {
            return;
        }
        let record = Arc::new(record);
        let notice = Notice::of_change(self.published.as_deref(), &record);
        self.published = Some(Arc::clone(&record));
        self.shared.show(record, notice);
    }

    fn carry_out(&mut self) {
        let orders = self.machine().orders();
        self.order_worker(orders.worker);
        self.follow(orders.follow);
        if orders.remove_media && self.media_fate == MediaFate::Needed {
            self.remove_media();
        }
        for worker in orders.release {
            if self.releasing.insert(worker.worker) {
                let released = self.shared.carriers.workers.release(worker.worker);
                self.jobs.spawn(async move {
                    released.await;
                    Outcome::Released(worker.worker)
                });
            }
        }
        if self.reporting.is_none()
            && let Some(report) = orders.report
        {
            self.reporting = Some(report.kind());
            let delivery = self.shared.carriers.reporter.clone().deliver(report);
            self.jobs.spawn(async move { Outcome::Reported(delivery.await) });
        }
    }

    fn remove_media(&mut self) {
        if !is_disposable(self.stored.spec.as_ref()) {
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
                        let claim = self.shared.carriers.workers.claim();
                        self.jobs.spawn(async move { Outcome::Claimed(epoch, claim.await) })
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
        let spec = self.stored.spec.as_ref()?;
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
            client: carriers.client.clone(),
            worker,
            epoch,
            proof: carriers.feed_key.proof(self.stream, epoch),
            inputs: self.inputs.0.clone(),
        };
        let exited = carriers.workers.exited(worker.worker);
        let job = self.jobs.spawn(async move {
            follower.run(exited).await;
            Outcome::FeedEnded
        });
        self.following = Some((epoch, job));
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
    let exited = carriers.workers.exited(worker.worker);
    tokio::pin!(exited);
    let mut tries = 0_u32;
    loop {
        // Worker and controller both go by the machine's clock. It may be set between two tries.
        assignment.expires = UnixMillis(shared.wall_now().0.saturating_add(ASSIGNMENT_VALID_MS));
        let signed =
            SignedAssignment::sign(&assignment, &carriers.assignments).map_err(|error| error.to_string())?;
        let outcome = tokio::select! {
            outcome = carriers.client.assign(&worker, &signed) => outcome,
            () = &mut exited => return Err("its process ended".to_owned()),
        };
        match outcome {
            Ok(()) => return Ok(()),
            // It may have taken it; taking it again changes nothing.
            Err(AssignError::Unreachable(_) | AssignError::Refused(EXPIRED)) if tries < ASSIGN_RETRIES => {
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

/// More than the machine needs to judge a worker.
const RELAY_FAILURES_AT_ONCE: u32 = 16;
/// Feed events that wait for this task; a feed that is further ahead is not read meanwhile.
const FEED_INPUTS: usize = 64;
/// From the choice of a worker to its taking the assignment.
const ASSIGNMENT_VALID_MS: i64 = 30_000;
/// 410: the worker reads the clock as later than `expires`.
const EXPIRED: u16 = 410;
const ASSIGN_RETRIES: u32 = 2;
const ASSIGN_PAUSE: Duration = Duration::from_millis(200);
/// One frame a second is the slowest that anything is planned for.
const LONGEST_FRAME_MS: u32 = 1_000;
