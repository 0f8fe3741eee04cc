//! What drives a stream's life (ARCHITECTURE §3): one task a stream runs its lifecycle, stores its record, and then makes
//! workers, api and storage fit the lifecycle's orders.
//!
//! The same on one machine and in a cluster. Where records are kept ([`RecordStore`]), where workers come from
//! ([`Workers`]), and how workers and api are spoken to ([`WorkerLink`], [`Api`]) is somebody else's.

mod backoff;
mod clock;
mod credential_source;
mod earshot;
mod edit;
mod follow;
mod input_pace;
mod media;
mod metrics;
mod moved;
mod notice;
pub mod queue;
mod record_store;
mod reports;
mod standstill;
mod stream_task;
mod waiting;
mod worker_keys;
mod worker_link;
mod workers;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_livestream::proof::{AssignmentKeys, RoleKeys};
use caudal_livestream::record::{Ingest, LiveStream, MediaInfo, Phase, RelayFailures};
use caudal_livestream::report::EndReason;
use caudal_livestream::{SessionId, StreamId, UnixMillis};
use caudal_storage::SegmentStore;
use caudal_traces::Traces;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use backoff::Backoff;
pub use clock::{WallClock, read as wall_now};
pub use credential_source::{CredentialSource, Fresh, NoCredentials};
use earshot::Earshot;
use edit::Edit;
pub use edit::Refusal;
pub use media::LeftAlone;
use media::Media;
pub use metrics::{Kind, Metrics, Queue, Reconciled};
pub use moved::{MoveError, Moved};
pub use notice::{Notice, NoticeKind};
use queue::Queued;
pub use record_store::{
    Change, Durability, Record, RecordStore, Shown, StoreError, Stored, Version, WhenItFails,
};
pub use reports::{Api, NotAcknowledged};
pub use standstill::Excuses;
use standstill::LoggedStandstill;
use stream_task::{Command, StreamTask};
pub use waiting::Waiting;
use worker_keys::WorkerKeys;
pub use worker_link::{Announcement, Announcements, FEED_SILENCE, LinkLost, NotAssigned, WorkerLink};
pub use workers::{ClaimError, Claimed, Pool, Presence, Start, Workers};

/// What a controller acts with.
pub struct Carriers {
    /// Where records are kept.
    pub store: Arc<dyn RecordStore>,
    /// Where workers come from.
    pub workers: Arc<dyn Workers>,
    /// The pool that they come from.
    pub pool: Pool,
    /// How workers are spoken to.
    pub link: Arc<dyn WorkerLink>,
    /// Where workers' storage credentials come from; none where workers have their own.
    pub credentials: Option<Arc<dyn CredentialSource>>,
    /// Whom streams' beginnings and ends are reported to.
    pub api: Arc<dyn Api>,
    /// Who shows the streams to everybody else.
    pub observer: Arc<dyn Observer>,
    /// Signs assignments; workers hold its public half.
    pub assignments: AssignmentKeys,
    /// The router's role key, and those that it may still show.
    pub router_key: RoleKeys,
    /// The same of the edge, and of this controller as a reader of feeds.
    pub feed_key: RoleKeys,
    /// What is counted.
    pub metrics: Metrics,
    /// What is traced.
    pub traces: Traces,
    /// The same for all controllers of a process, one after the other.
    pub left_alone: LeftAlone,
}

/// Who shows the streams to everybody else. Called from the streams' tasks; must not wait.
pub trait Observer: Send + Sync + 'static {
    /// The stream is now so.
    fn show(&self, record: Arc<LiveStream>);

    /// The stream was `before` when it was last stored, by whichever controller drove it then (none for a new one), and is now
    /// `after`.
    fn changed(&self, before: Option<&LiveStream>, after: &LiveStream);

    /// A move of the stream failed that nobody waited for who could say so: its worker asked for it, because its pod is to end for
    /// example.
    fn not_moved(&self, record: &LiveStream, error: &MoveError);

    /// Somebody else removed the stream's record although it had not ended; this is the last that was known of it.
    fn lost(&self, last: &LiveStream);

    /// Viewers and routers are not to know the stream any more.
    fn hide(&self, stream: StreamId);
}

/// All streams that one process drives.
pub struct Controller {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    carriers: Carriers,
    media: Media,
    wall: WallClock,
    /// The streams whose state cannot be stored just now, because the store does not answer.
    unstored: Mutex<HashSet<StreamId>>,
    standstill: Arc<LoggedStandstill>,
    earshot: Arc<Earshot>,
    worker_keys: WorkerKeys,
    // Held for map operations only, never across an await.
    handles: Mutex<HashMap<StreamId, Handle>>,
    /// Streams whose end the api does not know of yet.
    unsettled: watch::Sender<HashSet<StreamId>>,
    stop: CancellationToken,
    /// A stream's task has panicked.
    broken: CancellationToken,
    /// What others change is heeded by nobody any more.
    deaf: CancellationToken,
}

/// The way to a stream's task.
struct Handle {
    commands: queue::Sender<Command>,
    /// One that was not looked at yet is replaced.
    changes: watch::Sender<NewestChange>,
    /// The stream was ended before anybody opened it.
    never_opened: bool,
}

/// The newest change that somebody else made to a stream's record, until its task looks at it.
type NewestChange = Mutex<Option<Queued<Change>>>;

impl Shared {
    fn handles(&self) -> MutexGuard<'_, HashMap<StreamId, Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wall time, for a moment's use; deadlines go by [`clock::SteadyClock`].
    fn wall_now(&self) -> UnixMillis {
        clock::read(&self.wall)
    }

    /// Whether an ended stream's media may be removed; waits until that can be told.
    async fn media_may_go(&self, stream: StreamId) -> bool {
        loop {
            match self.carriers.store.was_put_aside(stream).await {
                Ok(false) => return true,
                Ok(true) => {
                    tracing::warn!(%stream, "the stream's media stay: an earlier record of it was put aside, and nobody knows what that said");
                    return false;
                }
                Err(error) => {
                    tracing::warn!(%error, %stream, "whether a record of the stream was put aside cannot be told; its media stay until it can");
                    sleep(ASK_STORE_AGAIN).await;
                }
            }
        }
    }

    /// Whether this stream is the first one whose state cannot be stored.
    fn cannot_be_stored(&self, stream: StreamId) -> bool {
        let mut unstored = self.unstored.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = unstored.is_empty();
        unstored.insert(stream);
        is_first
    }

    /// Whether the stream was the last one whose state could not be stored.
    fn can_be_stored(&self, stream: StreamId) -> bool {
        let mut unstored = self.unstored.lock().unwrap_or_else(PoisonError::into_inner);
        unstored.remove(&stream) && unstored.is_empty()
    }

    fn settled(&self, stream: StreamId) {
        self.unsettled.send_if_modified(|unsettled| unsettled.remove(&stream));
    }

    fn forget(&self, stream: StreamId) {
        self.settled(stream);
        self.can_be_stored(stream);
        self.carriers.observer.hide(stream);
        if let Some(credentials) = &self.carriers.credentials {
            credentials.forget(stream);
        }
        self.worker_keys.forget(stream);
        self.earshot.forget(stream);
        self.handles().remove(&stream);
    }
}

impl Controller {
    /// Drives the streams of `records`, which the store has as they are, and every stream that comes. `media` is where
    /// workers keep the streams' media; what of it nobody needs any more is removed. `adjust` changes what the store
    /// could not know of each. Must be called within a tokio runtime.
    pub fn start(
        carriers: Carriers,
        media: SegmentStore,
        wall: WallClock,
        records: Vec<Stored>,
        adjust: impl Fn(&mut Record, UnixMillis),
    ) -> Self {
        let installations = carriers.assignments.installations();
        let changes = carriers.store.changes();
        let shared = Arc::new(Shared {
            carriers,
            media: Media::new(media, installations),
            wall,
            unstored: Mutex::default(),
            standstill: Arc::default(),
            earshot: Arc::default(),
            worker_keys: WorkerKeys::default(),
            handles: Mutex::default(),
            unsettled: watch::Sender::new(HashSet::new()),
            stop: CancellationToken::new(),
            broken: CancellationToken::new(),
            deaf: CancellationToken::new(),
        });
        let controller = Self { shared, tasks: TaskTracker::new() };
        for stored in records {
            let mut record = stored.record.clone();
            let now = controller.shared.wall_now();
            // Before the machine is told anything: what it is told lets deadlines pass.
            record.machine.taken_over(now);
            adjust(&mut record, now);
            record.heed_spec(now);
            // Before anybody can ask: who finds a stream missing takes it to be lost.
            if let Some(shown) = record.shown(None) {
                controller.shared.carriers.observer.show(Arc::new(shown));
            }
            let told = told_before(&stored);
            Spawner::of(&controller).take_up(
                &mut controller.shared.handles(),
                record,
                Some(stored),
                told,
                None,
            );
        }
        let (orphans, stop) = (Arc::clone(&controller.shared), controller.shared.stop.clone());
        controller.tasks.spawn(async move {
            stop.run_until_cancelled(media::remove_orphans(orphans)).await;
        });
        let (spawner, stop) = (Spawner::of(&controller), controller.shared.stop.clone());
        let alarm = controller.shared.deaf.clone().drop_guard();
        controller.tasks.spawn(async move {
            // It also ends where the store has nothing more to say.
            if stop.run_until_cancelled(spawner.pass_on(changes)).await.is_none() {
                alarm.disarm();
            }
        });
        controller
    }

    /// Waits until a stream's task has panicked: from then on its stream is driven by nobody, and whoever drives the streams should
    /// begin anew.
    pub async fn broken(&self) {
        self.shared.broken.cancelled().await;
    }

    /// Waits until what others change is heeded by nobody any more: neither new streams nor their ends.
    pub async fn deaf(&self) {
        self.shared.deaf.cancelled().await;
    }

    /// Waits until most streams, and three at least, have been without any worker that can be reached for 10 s. Perhaps this process
    /// alone is cut off from them.
    pub async fn cut_off(&self) {
        self.shared.earshot.until_cut_off().await;
    }

    /// The controller's wall time.
    pub fn now(&self) -> UnixMillis {
        self.shared.wall_now()
    }

    /// Whether there is such a stream, in whatever phase.
    pub fn knows(&self, stream: StreamId) -> bool {
        self.shared.handles().contains_key(&stream)
    }

    /// Drives a new stream; resolves once it is recorded. None when there is one already.
    pub fn create(&self, record: Record) -> Option<BoxFuture<'static, Result<(), Refusal>>> {
        let stream = record.stream();
        let (reply, created) = oneshot::channel();
        {
            let mut handles = self.shared.handles();
            if handles.contains_key(&stream) {
                return None;
            }
            Spawner::of(self).take_up(&mut handles, record, None, None, Some(reply));
        }
        Some(Box::pin(async move {
            match timeout(ANSWER, created).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Refusal::Unavailable("the controller is closing".to_owned())),
                Err(_) => Err(Refusal::Unavailable(format!("stream {stream} could not be recorded in time"))),
            }
        }))
    }

    /// Returns once a stream is recorded that may be being created.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] or [`Refusal::Unavailable`].
    pub async fn recorded(&self, stream: StreamId) -> Result<(), Refusal> {
        self.ask(stream, Command::Recorded).await
    }

    /// Makes `ingest` the stream's publisher; its generation must be the next one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn reconnect(&self, stream: StreamId, ingest: Ingest) -> Result<Arc<LiveStream>, Refusal> {
        self.edit(stream, Edit::Reconnect(ingest)).await?.ok_or(Refusal::Unknown)
    }

    /// Ends a stream, and remembers the end of one that is unknown so that it is not created afterwards. Returns once
    /// that is recorded.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], also when so many ends of unknown streams are remembered that the caller must be wrong.
    pub async fn end(&self, stream: StreamId, reason: EndReason) -> Result<(), Refusal> {
        match self.edit(stream, Edit::End(reason)).await {
            Err(Refusal::Unknown) => {}
            done => return done.map(|_| ()),
        }
        if self.shared.handles().values().filter(|handle| handle.never_opened).count() >= MAX_UNKNOWN_ENDS {
            return Err(Refusal::Unavailable(
                "too many streams that nobody has opened were ended".to_owned(),
            ));
        }
        match self.create(Record::ended(stream, reason, self.now())) {
            Some(recorded) => recorded.await?,
            None => return Err(Refusal::Unavailable(format!("stream {stream} is being created"))),
        }
        // Somebody else may have created it at the same moment; otherwise this changes nothing.
        match self.edit(stream, Edit::End(reason)).await {
            Err(Refusal::Unknown) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// Asks the router of a stream's publisher to drop it.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] or [`Refusal::Unavailable`].
    pub async fn drop_publisher(&self, stream: StreamId, reason: String) -> Result<(), Refusal> {
        self.edit(stream, Edit::DropPublisher(reason)).await.map(|_| ())
    }

    /// Makes a stream's key void.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] or [`Refusal::Unavailable`].
    pub async fn revoke_key(&self, stream: StreamId) -> Result<(), Refusal> {
        self.edit(stream, Edit::RevokeKey).await.map(|_| ())
    }

    /// Moves a stream to another worker, and returns once that has announced media, or the move was given up: within
    /// about [`MOVE_WITHIN`].
    ///
    /// # Errors
    /// [`MoveError`] says why the stream is not on another worker.
    pub async fn move_stream(&self, stream: StreamId) -> Result<Moved, MoveError> {
        let commands = self.shared.handles().get(&stream).map(|handle| handle.commands.clone());
        let commands = commands.ok_or(MoveError::Unknown)?;
        let (reply, answer) = oneshot::channel();
        let moved = async {
            commands.send(Command::Move(reply)).await.map_err(|_| MoveError::Unknown)?;
            // The task ends when the stream is forgotten, or the controller is closed.
            answer.await.map_err(|_| MoveError::Unavailable("the controller is closing".to_owned()))?
        };
        match timeout(MOVE_WITHIN, moved).await {
            Ok(moved) => moved,
            Err(_) => Err(MoveError::Unavailable(format!("stream {stream} does not answer"))),
        }
    }

    /// A router could not relay to a worker so often. It counts on if it matters: dropped when the stream's task is that
    /// far behind.
    pub fn relay_failed(&self, stream: StreamId, failures: RelayFailures) {
        self.tell(stream, Command::RelayFailed(failures));
    }

    /// What the router measured of the publisher of `session`; dropped like [`relay_failed`](Self::relay_failed).
    pub fn measured(&self, stream: StreamId, session: SessionId, media: MediaInfo) {
        self.tell(stream, Command::Media(session, media));
    }

    /// The publisher of `session` was turned away for its media, in these words; dropped like
    /// [`relay_failed`](Self::relay_failed).
    pub fn media_refused(&self, stream: StreamId, session: SessionId, words: String) {
        self.tell(stream, Command::MediaRefused(session, words));
    }

    /// Tells all streams to end, as many of them as listen within `within`.
    pub async fn end_all(&self, reason: EndReason, within: Duration) {
        let all: Vec<_> = self.shared.handles().values().map(|handle| handle.commands.clone()).collect();
        let told = async {
            for commands in all {
                let (reply, _) = oneshot::channel();
                let _ = commands.send(Command::Edit(Edit::End(reason), reply)).await;
            }
        };
        let _ = timeout(within, told).await;
    }

    /// Streams whose end the api does not know of yet.
    pub fn unsettled(&self) -> watch::Receiver<HashSet<StreamId>> {
        self.shared.unsettled.subscribe()
    }

    /// Stops all tasks. Streams that are not over stay as they are, for the next controller.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn edit(&self, stream: StreamId, edit: Edit) -> Result<Option<Arc<LiveStream>>, Refusal> {
        self.ask(stream, |reply| Command::Edit(edit, reply)).await?
    }

    async fn ask<T>(
        &self,
        stream: StreamId,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Refusal> {
        let commands = self.shared.handles().get(&stream).map(|handle| handle.commands.clone());
        let commands = commands.ok_or(Refusal::Unknown)?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            // A task that has just forgotten its stream closes its channel.
            commands.send(command(reply)).await.map_err(|_| Refusal::Unknown)?;
            answer.await.map_err(|_| Refusal::Unknown)
        };
        match timeout(ANSWER, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Refusal::Unavailable(format!("stream {stream} does not answer"))),
        }
    }

    fn tell(&self, stream: StreamId, command: Command) {
        if let Some(handle) = self.shared.handles().get(&stream) {
            let _ = handle.commands.try_send(command);
        }
    }
}

/// Starts streams' tasks.
struct Spawner {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl Spawner {
    fn of(controller: &Controller) -> Self {
        Self { shared: Arc::clone(&controller.shared), tasks: controller.tasks.clone() }
    }

    fn take_up(
        &self,
        handles: &mut HashMap<StreamId, Handle>,
        record: Record,
        stored: Option<Stored>,
        told: Option<Arc<LiveStream>>,
        created: Option<oneshot::Sender<()>>,
    ) {
        let stream = record.stream();
        let waiting = self.shared.carriers.metrics.waiting(Queue::Streams);
        let (commands, asked) = queue::channel(COMMANDS, waiting);
        let (changes, changed) = watch::channel(NewestChange::default());
        handles.insert(stream, Handle { commands, changes, never_opened: record.spec.is_none() });
        self.shared.unsettled.send_modify(|unsettled| {
            unsettled.insert(stream);
        });
        let shared = Arc::clone(&self.shared);
        // Made in its own task: a record that nobody can drive stops no other.
        self.spawn(async move {
            StreamTask::new(shared, record, stored, told).run(asked, changed, created).await;
        });
    }

    /// Says it if the task panics.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let alarm = self.shared.broken.clone().drop_guard();
        self.tasks.spawn(async move {
            task.await;
            alarm.disarm();
        });
    }

    /// Passes on what others change. No stream's task is waited for, or it would hold up the news of the others.
    async fn pass_on(self, mut changes: futures::stream::BoxStream<'static, Change>) {
        let waiting = self.shared.carriers.metrics.waiting(Queue::Streams);
        while let Some(change) = changes.next().await {
            let mut handles = self.shared.handles();
            let stream = match &change {
                Change::Changed(stored) => stored.record.stream(),
                Change::Removed(stream) => *stream,
            };
            match (handles.get(&stream), change) {
                (Some(handle), change) => {
                    handle.changes.send_replace(Mutex::new(Some(Queued::new(change, &waiting))));
                }
                (None, Change::Changed(stored)) => {
                    let record = stored.record.clone();
                    self.take_up(&mut handles, record, Some(*stored), None, None);
                }
                (None, Change::Removed(_)) => {}
            }
        }
        tracing::error!("the store says nothing any more of what others change");
    }
}

/// What a controller stored of a stream, which the observer has heard of already unless the controller before this one ended between
/// the two; so only what changes from now on is told. A pending stream may be new to everybody: a router creates it while no operator leads.
fn told_before(stored: &Stored) -> Option<Arc<LiveStream>> {
    let shown = stored.record.shown(None).filter(|_| stored.shown != Shown::NotYet)?;
    (shown.status.phase != Phase::Pending).then(|| Arc::new(shown))
}

/// Requests that wait for a stream's task; senders wait beyond that, for at most [`ANSWER`].
const COMMANDS: usize = 64;
/// Ends of streams that nobody has opened, each remembered for ten minutes. One needs a broadcast that is ended between its
/// key's acceptance and its creation, or a controller that has lost its records.
const MAX_UNKNOWN_ENDS: usize = 1000;
/// The lifecycle's own deadlines for the stages of a move, one after the other, and a moment.
pub const MOVE_WITHIN: Duration = Duration::from_secs(80);
/// Nobody waits for an ended stream's media to go.
const ASK_STORE_AGAIN: Duration = Duration::from_mins(1);
/// A stream's task answers as fast as its store.
const ANSWER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
