//! The directory and controller of one machine: streams in this process and its folder, one task a stream.

mod clock;
mod follow;
mod media;
mod notice;
mod reporter;
mod store;
mod stream_task;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use caudal_livestream::lifecycle::{Evidence, Input, Lifecycle};
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::{DesiredState, Ingest, LiveStream, MediaInfo, RelayFailures, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{InstallationId, SessionId, StreamId, UnixMillis};
use caudal_service::internal::Signer;
use caudal_storage::SegmentStore;
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{
    OpenError, ReconnectError, StreamControl, StreamDirectory, Streams, Unavailable, WorkerClient, Workers,
};
use clock::WallClock;
use media::Media;
pub use notice::{Notice, NoticeKind};
use reporter::Reporter;
use store::{Store, Stored};
use stream_task::{Command, StreamTask};

/// What a local directory needs.
pub struct LocalConfig {
    /// Where the streams' states are kept; made when it is not there. Nobody else's.
    pub folder: PathBuf,
    /// Where workers keep the streams' media. What of it nobody needs any more is removed.
    pub media: SegmentStore,
    /// Broadcasts at once; further ones get [`OpenError::NoCapacity`].
    pub max_streams: usize,
    /// Where workers come from.
    pub workers: Arc<dyn Workers>,
    /// Signs assignments; workers hold its public half.
    pub assignments: SigningKey,
    /// The router's role key.
    pub router_key: RoleKey,
    /// The edge's and this controller's role key.
    pub feed_key: RoleKey,
    /// Base URL of the api's internal listener, `http://127.0.0.1:3001`.
    pub api: String,
    /// Signs reports to the api, as `controller`.
    pub signer: Signer,
}

/// Why the directory could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error("the folder of streams, {path}: {source}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The state of a broadcast cannot be read now.
    #[error(
        "{path}, the state of a broadcast, cannot be read: {source}. It was left as it is, because without it the broadcast \
         would be closed and its media removed. Let the platform's user read it (a restore must keep owners), or move it away \
         to give that broadcast up",
        path = path.display()
    )]
    State {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// No HTTP client could be made.
    #[error("the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// All streams of this machine, and what keeps them going.
pub struct LocalDirectory {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    max_streams: usize,
}

/// What the streams' tasks act with.
struct Carriers {
    workers: Arc<dyn Workers>,
    client: WorkerClient,
    reporter: Reporter,
    assignments: SigningKey,
    router_key: RoleKey,
    feed_key: RoleKey,
}

struct Shared {
    store: Store,
    /// Whether the last write of any stream's state failed.
    store_fails: AtomicBool,
    media: Media,
    wall: WallClock,
    carriers: Carriers,
    streams: watch::Sender<Streams>,
    notices: broadcast::Sender<Notice>,
    // Held for map operations only, never across an await.
    commands: Mutex<HashMap<StreamId, mpsc::Sender<Command>>>,
    /// Streams whose end the api does not know of yet.
    unsettled: watch::Sender<HashSet<StreamId>>,
    stop: CancellationToken,
}

impl Shared {
    fn commands(&self) -> MutexGuard<'_, HashMap<StreamId, mpsc::Sender<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wall time, for a moment's use; deadlines go by [`clock::SteadyClock`].
    fn wall_now(&self) -> UnixMillis {
        clock::read(&self.wall)
    }

    fn show(&self, record: Arc<LiveStream>, notice: Option<Notice>) {
        self.streams.send_modify(|streams| {
            Arc::make_mut(streams).insert(record.spec.stream, record);
        });
        if let Some(notice) = notice {
            // Nobody listening is fine; who listens too slowly misses the oldest.
            let _ = self.notices.send(notice);
        }
    }

    fn settled(&self, stream: StreamId) {
        self.unsettled.send_if_modified(|unsettled| unsettled.remove(&stream));
    }

    /// From now on viewers and routers do not know the stream; what asks for it by name still finds its task.
    fn hide(&self, stream: StreamId) {
        self.streams.send_if_modified(|streams| {
            streams.contains_key(&stream) && Arc::make_mut(streams).remove(&stream).is_some()
        });
    }

    fn forget(&self, stream: StreamId) {
        self.hide(stream);
        self.commands().remove(&stream);
    }
}

impl LocalDirectory {
    /// Takes up the streams of `config.folder`; those that were open go on as far as their publishers return.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when the folder, or a state in it, cannot be read.
    pub fn start(config: LocalConfig) -> Result<Arc<Self>, StartError> {
        Self::start_with(config, Arc::new(SystemTime::now))
    }

    fn start_with(config: LocalConfig, wall: WallClock) -> Result<Arc<Self>, StartError> {
        let client = WorkerClient::new()?;
        let reporter = Reporter::new(config.api, config.signer)?;
        let store = Store::open(&config.folder)
            .map_err(|source| StartError::Folder { path: config.folder.clone(), source })?;
        let stored = store.load()?;
        let installation = InstallationId::of(&config.assignments.verifying_key());
        let directory = Self {
            shared: Arc::new(Shared {
                store,
                store_fails: AtomicBool::new(false),
                media: Media::new(config.media, installation),
                wall,
                carriers: Carriers {
                    workers: config.workers,
                    client,
                    reporter,
                    assignments: config.assignments,
                    router_key: config.router_key,
                    feed_key: config.feed_key,
                },
                streams: watch::Sender::new(Streams::default()),
                notices: broadcast::Sender::new(NOTICES),
                commands: Mutex::default(),
                unsettled: watch::Sender::new(HashSet::new()),
                stop: CancellationToken::new(),
            }),
            tasks: TaskTracker::new(),
            max_streams: config.max_streams,
        };
        for (stream, mut stored) in stored {
            let now = directory.shared.wall_now();
            let machine = &mut stored.machine;
            // Workers are this process's children and have died with the last one.
            machine.handle(now, Input::WorkerLost(machine.epoch(), Evidence::ControllerRestarted));
            for worker in machine.orders().release {
                machine.handle(now, Input::Released(worker.worker));
            }
            // Before anybody can ask: who finds a stream missing takes it to be lost.
            if let Some(spec) = stored.spec.clone().filter(|_| !stored.machine.orders().forget) {
                let status = stored.machine.status(None);
                directory.shared.show(Arc::new(LiveStream { spec, status }), None);
            }
            directory.spawn(&mut directory.shared.commands(), stream, stored, None);
        }
        let (orphans, stop) = (Arc::clone(&directory.shared), directory.shared.stop.clone());
        directory.tasks.spawn(async move {
            stop.run_until_cancelled(media::remove_orphans(orphans)).await;
        });
        Ok(Arc::new(directory))
    }

    /// What happens to streams from now on, a line each. Who reads too slowly misses the oldest.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// Ends all streams because the platform stops, and waits until the api knows, but no longer than `within`.
    /// Returns how many it does not know of; their reports are delivered after the next start.
    pub async fn end_all(&self, within: Duration) -> usize {
        let deadline = Instant::now() + within;
        let all: Vec<_> = self.shared.commands().values().cloned().collect();
        for commands in all {
            let (reply, _) = oneshot::channel();
            // One that cannot be told in time is counted below.
            let _ = timeout_at(deadline, commands.send(Command::End(EndReason::Shutdown, reply))).await;
        }
        let mut unsettled = self.shared.unsettled.subscribe();
        let _ = timeout_at(deadline, unsettled.wait_for(HashSet::is_empty)).await;
        self.shared.unsettled.borrow().len()
    }

    /// Stops all tasks. Streams that are not over stay as they are, for the next start.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn spawn(
        &self,
        commands: &mut HashMap<StreamId, mpsc::Sender<Command>>,
        stream: StreamId,
        stored: Stored,
        created: Option<oneshot::Sender<Option<Arc<LiveStream>>>>,
    ) {
        let (sender, receiver) = mpsc::channel(COMMANDS);
        commands.insert(stream, sender);
        self.shared.unsettled.send_modify(|unsettled| {
            unsettled.insert(stream);
        });
        let task = StreamTask::new(Arc::clone(&self.shared), stream, stored);
        self.tasks.spawn(task.run(receiver, created));
    }

    /// Asks a stream's task; none when there is no such stream.
    async fn ask<T>(
        &self,
        stream: StreamId,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<Option<T>, Unavailable> {
        let Some(commands) = self.shared.commands().get(&stream).cloned() else { return Ok(None) };
        let (reply, answer) = oneshot::channel();
        let asked = async {
            // A task that has just forgotten its stream closes its channel.
            if commands.send(command(reply)).await.is_err() {
                return None;
            }
            answer.await.ok()
        };
        timeout(ANSWER, asked).await.map_err(|_| Unavailable(format!("stream {stream} does not answer")))
    }

    /// For what will be said again if it matters: dropped when the stream's task is that far behind.
    fn tell(&self, stream: StreamId, command: Command) {
        if let Some(commands) = self.shared.commands().get(&stream) {
            let _ = commands.try_send(command);
        }
    }

    async fn open_stream(&self, mut spec: Spec) -> Result<Arc<LiveStream>, OpenError> {
        let stream = spec.stream;
        let (reply, created) = oneshot::channel();
        {
            let mut commands = self.shared.commands();
            if commands.contains_key(&stream) {
                if let Some(known) = self.shared.streams.borrow().get(&stream) {
                    return Err(OpenError::Exists(Arc::clone(known)));
                }
                // It was ended before it was created.
                spec.desired_state = DesiredState::Ended;
                let ended = Lifecycle::tombstone(stream, EndReason::EndedByOwner, self.shared.wall_now());
                return Err(OpenError::Exists(Arc::new(LiveStream { spec, status: ended.status(None) })));
            }
            let open = self.shared.streams.borrow().values().filter(|s| !s.status.phase.is_over()).count();
            if open >= self.max_streams {
                return Err(OpenError::NoCapacity);
            }
            let now = self.shared.wall_now();
            let machine = Lifecycle::new(stream, spec.reconnect_window_ms, spec.ingest.generation, now);
            let status = machine.status(None);
            // Shown under the same lock, so that two at once cannot both take the last place.
            let record = Arc::new(LiveStream { spec: spec.clone(), status });
            self.shared.show(record, None);
            self.spawn(&mut commands, stream, Stored { spec: Some(spec), machine }, Some(reply));
        }
        match timeout(ANSWER, created).await {
            Ok(Ok(Some(record))) => Ok(record),
            Ok(_) => Err(Unavailable("the directory is closing".to_owned()).into()),
            Err(_) => Err(Unavailable(format!("stream {stream} could not be recorded in time")).into()),
        }
    }

    async fn end_stream(&self, stream: StreamId, reason: EndReason) -> Result<(), Unavailable> {
        if self.ask(stream, |reply| Command::End(reason, reply)).await?.is_some() {
            return Ok(());
        }
        let (reply, recorded) = oneshot::channel();
        {
            let mut commands = self.shared.commands();
            if commands.contains_key(&stream) {
                return Err(Unavailable(format!("stream {stream} is being created")));
            }
            let machine = Lifecycle::tombstone(stream, reason, self.shared.wall_now());
            self.spawn(&mut commands, stream, Stored { spec: None, machine }, Some(reply));
        }
        match timeout(ANSWER, recorded).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Unavailable("the directory is closing".to_owned())),
            Err(_) => Err(Unavailable(format!("stream {stream} could not be recorded in time"))),
        }
    }
}

impl StreamDirectory for LocalDirectory {
    fn open(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<LiveStream>, OpenError>> {
        Box::pin(self.open_stream(spec))
    }

    fn reconnect(
        &self,
        stream: StreamId,
        ingest: Ingest,
    ) -> BoxFuture<'_, Result<Arc<LiveStream>, ReconnectError>> {
        Box::pin(async move {
            let answer = self.ask(stream, |reply| Command::Reconnect(ingest, reply)).await?;
            answer.unwrap_or(Err(ReconnectError::Unknown))
        })
    }

    fn worker_unreachable(&self, stream: StreamId, failures: RelayFailures) -> BoxFuture<'_, ()> {
        self.tell(stream, Command::RelayFailed(failures));
        Box::pin(std::future::ready(()))
    }

    fn report_media(&self, stream: StreamId, session: SessionId, media: MediaInfo) -> BoxFuture<'_, ()> {
        self.tell(stream, Command::Media(session, media));
        Box::pin(std::future::ready(()))
    }

    fn media_refused(&self, stream: StreamId, session: SessionId, words: String) -> BoxFuture<'_, ()> {
        self.tell(stream, Command::MediaRefused(session, words));
        Box::pin(std::future::ready(()))
    }

    fn watch(&self) -> watch::Receiver<Streams> {
        self.shared.streams.subscribe()
    }
}

impl StreamControl for LocalDirectory {
    fn end(&self, stream: StreamId, reason: EndReason) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(self.end_stream(stream, reason))
    }

    fn drop_publisher(&self, stream: StreamId, reason: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            // Without a stream there is no publisher to drop.
            self.ask(stream, |reply| Command::DropPublisher(reason, reply)).await.map(|_| ())
        })
    }

    fn revoke_key(&self, stream: StreamId) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.ask(stream, Command::RevokeKey).await.map(|_| ()) })
    }

    fn inspect(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.shared.streams.borrow().get(&stream).cloned()
    }

    fn running(&self) -> Vec<Arc<LiveStream>> {
        self.shared.streams.borrow().values().cloned().collect()
    }
}

/// Requests that wait for a stream's task; senders wait beyond that, for at most [`ANSWER`].
const COMMANDS: usize = 64;
/// A stream's task answers as fast as its disk.
const ANSWER: Duration = Duration::from_secs(5);
/// Lines for the terminal that may wait; beyond that the oldest are lost.
const NOTICES: usize = 256;

#[cfg(test)]
mod tests;
