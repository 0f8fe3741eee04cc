//! A directory in memory, and the controller's part played by the test.

use std::sync::{Arc, Mutex};

use caudal_directory::{OpenError, ReconnectError, StreamDirectory, Streams, Unavailable};
use caudal_livestream::record::{Ingest, LiveStream, MediaInfo, RelayFailures, Spec, Status, WorkerAddress};
use caudal_livestream::{Epoch, SessionId, StreamId};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct FakeDirectory {
    streams: watch::Sender<Streams>,
    full: Mutex<bool>,
    away: Mutex<bool>,
    deaf: Mutex<bool>,
    refusing: Mutex<bool>,
    measurements: watch::Sender<usize>,
    rival: Mutex<Option<Ingest>>,
    unreachable: watch::Sender<Vec<(StreamId, RelayFailures)>>,
    refused: watch::Sender<Vec<(StreamId, SessionId, String)>>,
}

impl FakeDirectory {
    pub(crate) fn set_full(&self) {
        *self.full.lock().unwrap() = true;
    }

    /// The controller takes no commands from now on, or does again.
    pub(crate) fn set_away(&self, away: bool) {
        *self.away.lock().unwrap() = away;
    }

    /// Measurements are not answered from now on, or are again.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        *self.deaf.lock().unwrap() = deaf;
    }

    /// Measurements are not taken from now on, and that is said at once; or they are again.
    pub(crate) fn set_refusing(&self, refusing: bool) {
        *self.refusing.lock().unwrap() = refusing;
    }

    /// Waits until the next measurement is told.
    pub(crate) async fn hears_measurement(&self) {
        self.measurements.subscribe().changed().await.unwrap();
    }

    /// Waits until the first measurement is told, which may have been before.
    pub(crate) async fn has_heard_a_measurement(&self) {
        self.measurements.subscribe().wait_for(|told| *told > 0).await.unwrap();
    }

    fn command(&self) -> Result<(), Unavailable> {
        if *self.away.lock().unwrap() {
            Err(Unavailable("the controller is away".to_owned()))
        } else {
            Ok(())
        }
    }

    /// Just before the next publisher takes a stream, this one does.
    pub(crate) fn let_in_first(&self, rival: Ingest) {
        *self.rival.lock().unwrap() = Some(rival);
    }

    /// Changes a record as controller or api would.
    pub(crate) fn change(&self, stream: StreamId, change: impl FnOnce(&mut LiveStream)) {
        self.streams.send_modify(|streams| {
            let mut record = LiveStream::clone(streams.get(&stream).unwrap());
            change(&mut record);
            streams.insert(Arc::new(record));
        });
    }

    pub(crate) fn insert(&self, record: LiveStream) {
        self.streams.send_modify(|streams| streams.insert(Arc::new(record)));
    }

    pub(crate) fn assign(&self, stream: StreamId, worker: WorkerAddress, epoch: u32) {
        self.change(stream, |record| {
            record.status.worker = Some(worker);
            record.status.epoch = Epoch(epoch);
        });
    }

    /// The first record that fulfils `wanted`.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&LiveStream) -> bool) -> Arc<LiveStream> {
        let mut streams = self.streams.subscribe();
        let found = streams.wait_for(|streams| streams.values().any(|record| wanted(record))).await.unwrap();
        found.values().find(|record| wanted(record)).cloned().unwrap()
    }

    /// Each report of an unreachable worker so far, once there is one.
    pub(crate) async fn unreachable(&self) -> Vec<(StreamId, Epoch)> {
        self.relay_failures(|_| true)
            .await
            .into_iter()
            .map(|(stream, failures)| (stream, failures.epoch))
            .collect()
    }

    /// The same with their counts, once the last of them is `wanted`.
    pub(crate) async fn relay_failures(
        &self,
        wanted: impl Fn(&RelayFailures) -> bool,
    ) -> Vec<(StreamId, RelayFailures)> {
        let mut reports = self.unreachable.subscribe();
        let told = reports.wait_for(|reports| reports.last().is_some_and(|(_, last)| wanted(last)));
        told.await.unwrap().clone()
    }

    /// Each publisher that was turned away for its media so far, once there is one.
    pub(crate) async fn refused(&self) -> Vec<(StreamId, SessionId, String)> {
        self.refused.subscribe().wait_for(|refusals| !refusals.is_empty()).await.unwrap().clone()
    }

    pub(crate) fn reports(&self) -> usize {
        self.unreachable.borrow().len()
    }
}

impl StreamDirectory for FakeDirectory {
    fn open(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<LiveStream>, OpenError>> {
        async move {
            self.command()?;
            if *self.full.lock().unwrap() {
                return Err(OpenError::NoCapacity);
            }
            if let Some(record) = self.get(spec.stream) {
                return Err(OpenError::Exists(record));
            }
            let stream = spec.stream;
            self.insert(LiveStream { spec, status: Status::default() });
            Ok(self.get(stream).unwrap())
        }
        .boxed()
    }

    fn reconnect(
        &self,
        stream: StreamId,
        ingest: Ingest,
    ) -> BoxFuture<'_, Result<Arc<LiveStream>, ReconnectError>> {
        async move {
            self.command()?;
            let record = self.get(stream).ok_or(ReconnectError::Unknown)?;
            if record.status.phase.is_over() {
                return Err(ReconnectError::Over(record.status.phase));
            }
            if let Some(rival) = self.rival.lock().unwrap().take() {
                self.change(stream, |record| record.spec.ingest = rival);
            }
            let current = self.get(stream).ok_or(ReconnectError::Unknown)?.spec.ingest.generation;
            if ingest.generation != current.next() {
                return Err(ReconnectError::Stale(current));
            }
            self.change(stream, |record| record.spec.ingest = ingest);
            Ok(self.get(stream).unwrap())
        }
        .boxed()
    }

    fn worker_unreachable(&self, stream: StreamId, failures: RelayFailures) -> BoxFuture<'_, bool> {
        self.unreachable.send_modify(|reports| reports.push((stream, failures)));
        async { true }.boxed()
    }

    fn report_media(&self, stream: StreamId, session: SessionId, media: MediaInfo) -> BoxFuture<'_, bool> {
        self.measurements.send_modify(|told| *told += 1);
        if *self.deaf.lock().unwrap() {
            return futures::future::pending().boxed();
        }
        if *self.refusing.lock().unwrap() {
            return async { false }.boxed();
        }
        if self.get(stream).is_some_and(|record| record.spec.ingest.session == session) {
            self.change(stream, |record| record.status.media = Some(media));
        }
        async { true }.boxed()
    }

    fn media_refused(&self, stream: StreamId, session: SessionId, words: String) -> BoxFuture<'_, bool> {
        self.refused.send_modify(|refusals| refusals.push((stream, session, words)));
        async { true }.boxed()
    }

    fn watch(&self) -> watch::Receiver<Streams> {
        self.streams.subscribe()
    }
}
