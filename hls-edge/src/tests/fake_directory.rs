//! A directory that says what the test wants.

use std::sync::Arc;

use caudal_directory::{OpenError, ReconnectError, StreamDirectory, Streams, Unavailable};
use caudal_livestream::fixtures::spec;
use caudal_livestream::record::{Ingest, LiveStream, MediaInfo, Phase, RelayFailures, Spec, Status};
use caudal_livestream::{SessionId, StreamId};
use futures::future::{BoxFuture, ready};
use tokio::sync::watch;

use super::fake_worker::FakeWorker;

pub(crate) struct FakeDirectory {
    stream: StreamId,
    records: watch::Sender<Streams>,
}

impl FakeDirectory {
    /// Knows one stream, which has no worker yet.
    pub(crate) fn new(stream: StreamId) -> Self {
        let spec = Spec { stream, record: true, ..spec() };
        let record = LiveStream { spec, status: Status { phase: Phase::Starting, ..Status::default() } };
        Self { stream, records: watch::Sender::new(Streams::from_iter([Arc::new(record)])) }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut LiveStream)) {
        self.records.send_modify(|records| {
            let mut record = LiveStream::clone(records.get(&self.stream).unwrap());
            change(&mut record);
            records.insert(Arc::new(record));
        });
    }

    pub(crate) fn assign(&self, worker: &FakeWorker, phase: Phase) {
        self.change(|record| {
            record.status.worker = Some(worker.address());
            record.status.epoch = worker.epoch();
            record.status.phase = phase;
        });
    }

    pub(crate) fn without_worker(&self, phase: Phase) {
        self.change(|record| {
            record.status.worker = None;
            record.status.phase = phase;
        });
    }

    pub(crate) fn forget(&self) {
        self.records.send_replace(Streams::default());
    }
}

fn no<T>() -> BoxFuture<'static, Result<T, Unavailable>>
where
    T: Send + 'static,
{
    Box::pin(ready(Err(Unavailable("not in this test".to_owned()))))
}

impl StreamDirectory for FakeDirectory {
    fn open(&self, _: Spec) -> BoxFuture<'_, Result<Arc<LiveStream>, OpenError>> {
        Box::pin(async { Ok(no::<Arc<LiveStream>>().await?) })
    }

    fn reconnect(&self, _: StreamId, _: Ingest) -> BoxFuture<'_, Result<Arc<LiveStream>, ReconnectError>> {
        Box::pin(async { Ok(no::<Arc<LiveStream>>().await?) })
    }

    fn worker_unreachable(&self, _: StreamId, _: RelayFailures) -> BoxFuture<'_, bool> {
        Box::pin(ready(true))
    }

    fn report_media(&self, _: StreamId, _: SessionId, _: MediaInfo) -> BoxFuture<'_, bool> {
        Box::pin(ready(true))
    }

    fn media_refused(&self, _: StreamId, _: SessionId, _: String) -> BoxFuture<'_, bool> {
        Box::pin(ready(true))
    }

    fn watch(&self) -> watch::Receiver<Streams> {
        self.records.subscribe()
    }
}
