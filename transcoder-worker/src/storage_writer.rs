//! The task that carries inits and finished segments to storage, however long that takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caudal_livestream::{Msn, RenditionName, StreamId};
use caudal_storage::{CreateError, Key, SegmentStore, StorageError, StreamFile};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::metrics::Metrics;
use crate::outage::Trouble;
use crate::store_queue::{Attempt, InitJob, SegmentJob, StoreJob, StoreQueue};

/// How the session gives segments to storage; it never waits.
#[derive(Clone)]
pub(crate) struct StorageHandle {
    shared: Arc<Shared>,
    metrics: Metrics,
}

struct Shared {
    queue: Mutex<StoreQueue>,
    changed: Notify,
    closing: tokio_util::sync::CancellationToken,
}

/// A finished segment is in storage, or never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) rendition: RenditionName,
    pub(crate) msn: Msn,
    pub(crate) stored: bool,
}

impl StorageHandle {
    pub(crate) fn new(metrics: Metrics) -> Self {
        let shared = Shared {
            queue: Mutex::new(StoreQueue::new(MAX_UNSTORED)),
            changed: Notify::new(),
            closing: tokio_util::sync::CancellationToken::new(),
        };
        Self { shared: Arc::new(shared), metrics }
    }

    pub(crate) fn init(&self, job: InitJob) {
        self.queue().push_init(job);
        self.shared.changed.notify_one();
    }

    /// Returns what was given up to make room.
    pub(crate) fn segment(&self, job: SegmentJob) -> Vec<SegmentJob> {
        let given_up = self.queue().push_segment(job);
        self.shared.changed.notify_one();
        self.count(given_up)
    }

    /// Returns what was given up because it left the window.
    pub(crate) fn window_moved(&self, rendition: &RenditionName, start: Msn) -> Vec<SegmentJob> {
        let given_up = self.queue().window_moved(rendition, start);
        self.count(given_up)
    }

    /// No more will come: the writer ends when the queue is empty.
    pub(crate) fn close(&self) {
        self.shared.closing.cancel();
    }

    fn count(&self, given_up: Vec<SegmentJob>) -> Vec<SegmentJob> {
        for job in &given_up {
            self.metrics.storage_lost_segments.inc();
            tracing::warn!(rendition = %job.rendition, msn = job.msn.0, "storage did not take the segment in time: it is lost");
        }
        self.metrics.storage_queue_bytes.set(i64::try_from(self.queue().bytes()).unwrap_or(i64::MAX));
        given_up
    }

    fn queue(&self) -> MutexGuard<'_, StoreQueue> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until [`close`](Self::close) and the end of the queue, or until nobody takes what has `settled`: what is
    /// stored after that would be in no playlist. `settled` is full only while the session is busy; then this waits.
    pub(crate) async fn write(
        self,
        store: SegmentStore,
        stream: StreamId,
        settled: mpsc::Sender<Settled>,
        mut trouble: Trouble,
    ) {
        let mut puts = JoinSet::new();
        while !settled.is_closed() {
            let now = Instant::now();
            while puts.len() < PARALLEL_PUTS {
                let Some((job, attempt)) = self.queue().next(now) else { break };
                puts.spawn(put(store.clone(), stream, job, attempt));
            }
            let closing = self.shared.closing.is_cancelled();
            let pause_over = self.queue().pause_over(now);
            if closing && puts.is_empty() && self.queue().is_empty() {
                return;
            }
            let done = tokio::select! {
                Some(done) = puts.join_next() => done,
                () = self.shared.changed.notified() => continue,
                () = self.shared.closing.cancelled(), if !closing => continue,
                () = sleep_until(pause_over.unwrap_or(now)), if pause_over.is_some() => continue,
            };
            // A cancelled or panicked put is a bug of the storage library; the segment is then missing.
            let Ok((job, attempt, took, result)) = done else { continue };
            match result {
                Ok(()) => {
                    self.queue().stored(&job, attempt);
                    if let StoreJob::Segment(job) = job {
                        self.metrics.storage_latency.observe(took.as_secs_f64());
                        let done = Settled { rendition: job.rendition, msn: job.msn, stored: true };
                        if settled.send(done).await.is_err() {
                            return;
                        }
                    }
                    // Storage that takes some segments and refuses others (a nearly full disk) still fails.
                    if !self.queue().has_refused() {
                        trouble.over();
                    }
                }
                Err(error) => {
                    self.metrics.storage_failures.inc();
                    trouble.failed(&error);
                    self.queue().refuse(job, attempt, Instant::now());
                }
            }
            self.count(Vec::new());
        }
    }
}

async fn put(
    store: SegmentStore,
    stream: StreamId,
    job: StoreJob,
    attempt: Attempt,
) -> (StoreJob, Attempt, Duration, Result<(), StorageError>) {
    let begun = Instant::now();
    let result = match &job {
        StoreJob::Init(init) => {
            let key = Key::Live(stream, StreamFile::Init(init.rendition.clone(), init.hash.clone()));
            store.put(&key, init.data.clone()).await.map(|_| ())
        }
        StoreJob::Segment(segment) => {
            let file = StreamFile::Segment(segment.rendition.clone(), segment.msn, segment.epoch);
            // Its name carries the epoch, so what is there already is this very segment, written by an attempt whose answer
            // was lost, or by the worker that this one continues.
            match store.create(&Key::Live(stream, file), joined(&segment.pieces)).await {
                Ok(_) | Err(CreateError::AlreadyExists) => Ok(()),
                Err(CreateError::Storage(error)) => Err(error),
            }
        }
    };
    (job, attempt, begun.elapsed(), result)
}

fn joined(pieces: &[Bytes]) -> Bytes {
    if let [only] = pieces {
        return only.clone();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(piece);
    }
    whole.freeze()
}

/// Half a minute of a 50 Mb/s source with its rungs, or five minutes of a usual one.
const MAX_UNSTORED: usize = 256 * 1024 * 1024;
/// One segment of each usual rendition at once.
pub(crate) const PARALLEL_PUTS: usize = 5;

#[cfg(test)]
mod tests {
    use std::fs;

    use caudal_livestream::Epoch;
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::outage::Outage;
    use crate::outage::tests::Lines;

    #[tokio::test(start_paused = true)]
    async fn a_storage_that_takes_some_segments_and_refuses_others_is_said_to_fail_once() {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
        let folder = tempfile::tempdir().unwrap();
        let store = SegmentStore::folder(folder.path()).unwrap();
        let stream = StreamId::generate();
        let refused = folder.path().join(format!("live/{stream}/720p"));
        fs::create_dir_all(refused.parent().unwrap()).unwrap();
        fs::write(&refused, "in the way").unwrap();

        let handle = StorageHandle::new(Metrics::register(&prometheus::Registry::new()).unwrap());
        for msn in 0..REFUSED {
            handle.segment(job("720p", msn));
        }
        for msn in 0..GOOD {
            handle.segment(job("source", msn));
        }
        let (settled, mut stored) = mpsc::channel(1);
        let writer = handle.clone().write(store, stream, settled, Outage::default().watch());
        let storage = async {
            for _ in 0..GOOD {
                assert_eq!(stored.recv().await.unwrap().rendition.as_str(), "source");
            }
            assert_eq!(lines.take(), [Level::WARN]);
            fs::remove_file(&refused).unwrap();
            handle.close();
            for _ in 0..REFUSED {
                assert_eq!(stored.recv().await.unwrap().rendition.as_str(), "720p");
            }
        };
        tokio::join!(writer, storage);
        assert_eq!(lines.take(), [Level::INFO]);
    }

    fn job(rendition: &str, msn: u64) -> SegmentJob {
        let pieces = vec![Bytes::from_static(b"media")];
        SegmentJob { rendition: rendition.parse().unwrap(), msn: Msn(msn), epoch: Epoch(1), pieces }
    }

    const GOOD: u64 = 20;
    /// More than are written at once.
    const REFUSED: u64 = 6;
}
