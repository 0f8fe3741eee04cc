//! The controller over a store, workers and an api of this process, under tokio's paused time.

mod crashes;
mod credentials;
mod cut_off;
mod failed_jobs;
mod fake_cluster;
mod fake_store;
mod fake_worker;
mod floods;
mod keys;
mod last_words;
mod leading;
mod left_alone;
mod lost_records;
mod measured;
mod media_info;
mod moves;
mod paused;
mod relay_failures;
mod set_clocks;
mod standing_still;
mod unknown_ends;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use caudal_livestream::fixtures::{ingest, spec};
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::{DesiredState, Phase, Spec};
use caudal_livestream::{Epoch, Generation};
use ed25519_dalek::SigningKey;
use tokio::time::{Instant, sleep};

use super::*;
use fake_cluster::FakeCluster;
use fake_store::FakeStore;

/// Everything that outlives a controller.
struct World {
    store: Arc<FakeStore>,
    cluster: Arc<FakeCluster>,
    media: tempfile::TempDir,
    wall: WallClock,
    registry: prometheus::Registry,
    metrics: Metrics,
    traces: Traces,
    left_alone: LeftAlone,
    /// Where storage credentials come from; none where workers have their own.
    source: Option<Arc<credentials::FakeSource>>,
    /// By how much the wall clock was set forward.
    wall_set_by_ms: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        let begun = Instant::now();
        let wall_set_by_ms = Arc::new(AtomicU64::new(0));
        let set_by_ms = Arc::clone(&wall_set_by_ms);
        let wall: WallClock = Arc::new(move || {
            let set_by = Duration::from_millis(set_by_ms.load(Ordering::Relaxed));
            UNIX_EPOCH + Duration::from_secs(1_800_000_000) + set_by + begun.elapsed()
        });
        let store = Arc::new(FakeStore::new(Arc::clone(&wall)));
        let registry = prometheus::Registry::new();
        Self {
            cluster: Arc::new(FakeCluster::new(Arc::clone(&store))),
            store,
            media: tempfile::tempdir().unwrap(),
            wall,
            metrics: Metrics::register(&registry).unwrap(),
            registry,
            traces: Traces::off(),
            left_alone: LeftAlone::default(),
            source: None,
            wall_set_by_ms,
        }
    }

    /// With a controller, and a stream that can be watched.
    async fn live() -> (Self, Controller, StreamId) {
        let world = Self::new();
        let controller = world.controller().await;
        let stream = world.open();
        world.until_phase(stream, Phase::Live).await;
        (world, controller, stream)
    }

    /// Workers must be dead by a test's end.
    async fn end(&self, controller: Controller) {
        self.cluster.kill_all();
        controller.close().await;
    }

    /// A controller that takes up what is stored.
    async fn controller(&self) -> Controller {
        let (router_key, feed_key) = (RoleKey::new([1; 32]), RoleKey::new([2; 32]));
        self.controller_with(signing_key(9).into(), router_key.into(), feed_key.into()).await
    }

    /// The same with other keys.
    async fn controller_with(
        &self,
        assignments: AssignmentKeys,
        router_key: RoleKeys,
        feed_key: RoleKeys,
    ) -> Controller {
        let (store, records) = FakeStore::open(&self.store).await;
        let carriers = Carriers {
            store: Arc::new(store),
            workers: self.cluster.clone(),
            pool: Pool::default(),
            link: self.cluster.clone(),
            credentials: self.source.clone().map(|source| -> Arc<dyn CredentialSource> { source }),
            api: self.cluster.clone(),
            observer: self.cluster.clone(),
            assignments,
            router_key,
            feed_key,
            metrics: self.metrics.clone(),
            traces: self.traces.clone(),
            left_alone: self.left_alone.clone(),
        };
        let media = SegmentStore::folder(self.media.path()).unwrap();
        Controller::start(carriers, media, Arc::clone(&self.wall), records, |_, _| {})
    }

    fn now(&self) -> UnixMillis {
        wall_now(&self.wall)
    }

    /// A router creates a stream.
    fn open(&self) -> StreamId {
        let spec = spec();
        let stream = spec.stream;
        self.store.write_as_another(Record::opened(spec, self.now()));
        stream
    }

    /// Waits until the store's record of `stream` is so.
    async fn until(&self, stream: StreamId, what: &str, so: impl Fn(&Record) -> bool) -> Record {
        let begun = Instant::now();
        loop {
            if let Some(record) = self.store.get(stream).filter(&so) {
                return record;
            }
            assert!(begun.elapsed() < PATIENCE, "never {what}: {:?}", self.store.get(stream));
            // Paused time stands still until nothing else is left to be done.
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_phase(&self, stream: StreamId, phase: Phase) -> Record {
        self.until(stream, &format!("{phase:?}"), |record| record.machine.phase() == phase).await
    }

    /// Waits until nothing is left to be done about `stream`.
    async fn until_forgotten(&self, stream: StreamId) {
        let begun = Instant::now();
        while self.store.get(stream).is_some() {
            assert!(begun.elapsed() < PATIENCE, "never forgotten: {:?}", self.store.get(stream));
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// Longer than an ended stream is remembered, in paused time.
const PATIENCE: Duration = Duration::from_mins(20);
