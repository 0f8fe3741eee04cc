//! The directory and controller of one machine: streams in this process and its folder, one task a stream.

mod shown;
mod store;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use caudal_controller::{
    Carriers, Controller, LeftAlone, Metrics, MoveError, Moved, Pool, Record, Refusal, WallClock, Workers,
};
use caudal_livestream::lifecycle::{Evidence, Input};
use caudal_livestream::proof::{AssignmentKeys, RoleKeys};
use caudal_livestream::record::{DesiredState, Ingest, LiveStream, MediaInfo, RelayFailures, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{SessionId, StreamId, UnixMillis};
use caudal_service::internal::Signer;
use caudal_storage::SegmentStore;
use caudal_traces::Traces;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, timeout_at};

use crate::reporter::Reporter;
use crate::{OpenError, ReconnectError, StreamControl, StreamDirectory, Streams, Unavailable, WorkerClient};
pub use caudal_controller::{Notice, NoticeKind};
use shown::Shown;
use store::Store;

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
    pub assignments: AssignmentKeys,
    /// The router's role key, and those that it may still show.
    pub router_key: RoleKeys,
    /// The same of the edge, and of this controller as a reader of feeds.
    pub feed_key: RoleKeys,
    /// Base URL of the api's internal listener, `http://127.0.0.1:3001`.
    pub api: String,
    /// Signs reports to the api, as `controller`.
    pub signer: Signer,
    /// What is counted.
    pub metrics: Metrics,
    /// What is traced.
    pub traces: Traces,
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
         would be closed. Let the platform's user read it (a restore must keep owners), or move it out of the folder to give \
         that broadcast up, and its media unless it was recorded",
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
    controller: Controller,
    shown: Arc<Shown>,
    /// Held while a stream is let in, so that two at once cannot both take the last place.
    door: Mutex<()>,
    max_streams: usize,
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
        let link = Arc::new(WorkerClient::new()?);
        let api = Arc::new(Reporter::new(config.api, config.signer)?);
        let store = Store::open(&config.folder)
            .map_err(|source| StartError::Folder { path: config.folder.clone(), source })?;
        let records = store.read_all()?;
        let shown = Arc::new(Shown::new());
        let carriers = Carriers {
            store: Arc::new(store),
            workers: config.workers,
            pool: Pool::default(),
            link,
            credentials: None,
            api,
            observer: shown.clone(),
            assignments: config.assignments,
            router_key: config.router_key,
            feed_key: config.feed_key,
            metrics: config.metrics,
            traces: config.traces,
            left_alone: LeftAlone::default(),
        };
        let controller = Controller::start(carriers, config.media, wall, records, without_workers);
        Ok(Arc::new(Self { controller, shown, door: Mutex::new(()), max_streams: config.max_streams }))
    }

    /// What happens to streams from now on, a line each. Who reads too slowly misses the oldest.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shown.notices.subscribe()
    }

    /// Ends all streams because the platform stops, and waits until the api knows, but no longer than `within`.
    /// Returns how many it does not know of; their reports are delivered after the next start.
    pub async fn end_all(&self, within: Duration) -> usize {
        let deadline = Instant::now() + within;
        self.controller.end_all(EndReason::Shutdown, within).await;
        let mut unsettled = self.controller.unsettled();
        let _ = timeout_at(deadline, unsettled.wait_for(HashSet::is_empty)).await;
        unsettled.borrow().len()
    }

    /// Stops all tasks. Streams that are not over stay as they are, for the next start.
    pub async fn close(&self) {
        self.controller.close().await;
    }

    async fn open_stream(&self, spec: Spec) -> Result<Arc<LiveStream>, OpenError> {
        let (stream, session) = (spec.stream, spec.ingest.session);
        let recorded = match self.let_in(spec) {
            Ok(recorded) => recorded,
            Err(OpenError::Exists(known)) if known.spec.ingest.session == session && known.is_open() => {
                // Asked once more while the first answer is on its way: the stream is there only once it is recorded.
                self.controller.recorded(stream).await.map_err(|refusal| unavailable(&refusal))?;
                return Err(OpenError::Exists(self.shown.get(stream).unwrap_or(known)));
            }
            Err(error) => return Err(error),
        };
        recorded.await.map_err(|refusal| unavailable(&refusal))?;
        self.shown.get(stream).ok_or_else(|| unavailable(&Refusal::Unknown).into())
    }

    /// Shows a new stream to everybody; what it returns resolves once the stream is recorded.
    fn let_in(&self, mut spec: Spec) -> Result<BoxFuture<'static, Result<(), Refusal>>, OpenError> {
        let stream = spec.stream;
        let now = self.controller.now();
        let _turn = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.shown.get(stream) {
            return Err(OpenError::Exists(known));
        }
        let open = self.shown.streams.borrow().values().filter(|s| !s.status.phase.is_over()).count();
        if open >= self.max_streams && !self.controller.knows(stream) {
            return Err(OpenError::NoCapacity);
        }
        let record = Record::opened(spec.clone(), now);
        let Some(recorded) = self.controller.create(record.clone()) else {
            // It was ended before it was created.
            spec.desired_state = DesiredState::Ended;
            let status = Record::ended(stream, EndReason::EndedByOwner, now).machine.status(None);
            return Err(OpenError::Exists(Arc::new(LiveStream { spec, status })));
        };
        self.shown.show_first(Arc::new(LiveStream { spec, status: record.machine.status(None) }));
        Ok(recorded)
    }
}

/// Workers are this process's children, and have died with the last one.
fn without_workers(record: &mut Record, now: UnixMillis) {
    let machine = &mut record.machine;
    machine.handle(now, Input::WorkerLost(machine.epoch(), Evidence::ControllerRestarted));
    for worker in machine.orders().release {
        machine.handle(now, Input::Released(worker.worker));
    }
    for epoch in machine.orders().withdraw {
        machine.handle(now, Input::Withdrawn(epoch));
    }
}

/// What the api asks of a stream that is unknown is done already.
fn asked(outcome: Result<(), Refusal>) -> Result<(), Unavailable> {
    match outcome {
        Ok(()) | Err(Refusal::Unknown) => Ok(()),
        Err(refusal) => Err(unavailable(&refusal)),
    }
}

fn unavailable(refusal: &Refusal) -> Unavailable {
    Unavailable(refusal.to_string())
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
            self.controller.reconnect(stream, ingest).await.map_err(|refusal| match refusal {
                Refusal::Unknown => ReconnectError::Unknown,
                Refusal::Stale(generation) => ReconnectError::Stale(generation),
                Refusal::Over(phase) => ReconnectError::Over(phase),
                Refusal::Unavailable(reason) => Unavailable(reason).into(),
            })
        })
    }

    fn worker_unreachable(&self, stream: StreamId, failures: RelayFailures) -> BoxFuture<'_, bool> {
        self.controller.relay_failed(stream, failures);
        Box::pin(std::future::ready(true))
    }

    fn report_media(&self, stream: StreamId, session: SessionId, media: MediaInfo) -> BoxFuture<'_, bool> {
        self.controller.measured(stream, session, media);
        Box::pin(std::future::ready(true))
    }

    fn media_refused(&self, stream: StreamId, session: SessionId, words: String) -> BoxFuture<'_, bool> {
        self.controller.media_refused(stream, session, words);
        Box::pin(std::future::ready(true))
    }

    fn watch(&self) -> watch::Receiver<Streams> {
        self.shown.streams.subscribe()
    }
}

impl StreamControl for LocalDirectory {
    fn end(&self, stream: StreamId, reason: EndReason) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { asked(self.controller.end(stream, reason).await) })
    }

    fn drop_publisher(&self, stream: StreamId, reason: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        // Without a stream there is no publisher to drop.
        Box::pin(async move { asked(self.controller.drop_publisher(stream, reason).await) })
    }

    fn revoke_key(&self, stream: StreamId) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { asked(self.controller.revoke_key(stream).await) })
    }

    fn move_stream(&self, stream: StreamId) -> BoxFuture<'_, Result<Moved, MoveError>> {
        Box::pin(self.controller.move_stream(stream))
    }

    fn inspect(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.shown.streams.borrow().get(&stream).cloned()
    }

    fn running(&self) -> Vec<Arc<LiveStream>> {
        self.shown.streams.borrow().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
