//! The local controller against workers and an api in this process.

mod fake_api;
mod fake_workers;

use caudal_livestream::Generation;
use caudal_livestream::admission::{Access, LatencyMode};
use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::record::Phase;
use tempfile::TempDir;

use super::*;
use fake_api::FakeApi;
use fake_workers::{FakeWorker, FakeWorkers};

/// A directory over fakes, and everything a test asks of it.
struct Stage {
    folder: TempDir,
    api: FakeApi,
    workers: Arc<FakeWorkers>,
    directory: Arc<LocalDirectory>,
}

impl Stage {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let api = FakeApi::start().await;
        let workers = FakeWorkers::new();
        let directory = start(&folder, &api, &workers, 2);
        Self { folder, api, workers, directory }
    }

    /// As after `kill -9`: nothing is told to anyone, all workers die.
    async fn restart(&mut self) {
        self.directory.close().await;
        self.workers.kill_all();
        self.workers = FakeWorkers::new();
        self.directory = start(&self.folder, &self.api, &self.workers, 2);
    }

    async fn open(&self) -> StreamId {
        let spec = spec();
        self.directory.open(spec.clone()).await.unwrap();
        spec.stream
    }

    /// A stream that can be watched, and its worker.
    async fn live(&self) -> (StreamId, FakeWorker) {
        let stream = self.open().await;
        let worker = self.workers.assigned(stream, Epoch(1), AssignmentMode::Live).await;
        worker.publisher_up(Generation(1));
        worker.announce_segment();
        self.until(stream, |s| s.status.phase == Phase::Live).await;
        (stream, worker)
    }

    /// Waits until the directory shows `stream` so.
    async fn until(&self, stream: StreamId, so: impl Fn(&LiveStream) -> bool) -> Arc<LiveStream> {
        let mut watch = self.directory.watch();
        let streams =
            timeout(PATIENCE, watch.wait_for(|streams| streams.get(&stream).is_some_and(|s| so(s))));
        let shown = || format!("{:?}", self.directory.get(stream).map(|s| s.status.clone()));
        match streams.await {
            Ok(Ok(streams)) => Arc::clone(&streams[&stream]),
            _ => panic!("never so: {}", shown()),
        }
    }
}

fn start(
    folder: &TempDir,
    api: &FakeApi,
    workers: &Arc<FakeWorkers>,
    max_streams: usize,
) -> Arc<LocalDirectory> {
    LocalDirectory::start(LocalConfig {
        folder: folder.path().join("streams"),
        max_streams,
        workers: Arc::clone(workers) as Arc<dyn Workers>,
        assignments: fake_workers::signing_key(),
        router_key: RoleKey::new([1; 32]),
        feed_key: RoleKey::new([2; 32]),
        api: api.base(),
        signer: Signer::new("controller", FakeApi::key()),
    })
    .unwrap()
}

fn spec() -> Spec {
    Spec {
        stream: StreamId::generate(),
        channel: "ann".to_owned(),
        title: "A day".to_owned(),
        access: Access::Public,
        renditions: Vec::new(),
        latency_mode: LatencyMode::Low,
        reconnect_window_ms: 30_000,
        record: false,
        hints: None,
        desired_state: DesiredState::Live,
        end_reason: None,
        drop: None,
        key_revoked: false,
        ingest: ingest(1),
    }
}

fn ingest(generation: u32) -> Ingest {
    Ingest {
        session: SessionId::generate(),
        generation: Generation(generation),
        router: "http://127.0.0.1:1".to_owned(),
        key_hash: "00".to_owned(),
    }
}

#[tokio::test]
async fn a_stream_is_opened_assigned_live_ended_and_reported() {
    let stage = Stage::new().await;
    let mut notices = stage.directory.notices();
    let (stream, worker) = stage.live().await;
    assert_eq!(stage.api.next().await, format!("published {stream}"));
    let shown = stage.directory.get(stream).unwrap();
    assert_eq!((shown.status.worker, shown.status.epoch), (Some(worker.address()), Epoch(1)));

    stage.directory.end(stream, EndReason::EndedByOwner).await.unwrap();
    assert!(stage.directory.get(stream).unwrap().status.phase.is_over());
    worker.until_told(AssignmentMode::Finish).await;
    worker.end_feed();
    let over = stage.until(stream, |s| s.status.phase == Phase::Ended).await;
    assert_eq!(over.status.reason.as_deref(), Some("its owner ended it"));
    assert_eq!(stage.api.next().await, format!("done {stream} published=true ended_by_owner"));
    worker.until_released().await;

    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(notices.recv().await.unwrap().to_string());
    }
    assert_eq!(lines, ["ann: connected, starting", "ann: went live", "ann: ended: its owner ended it"]);
    stage.directory.close().await;
}

const PATIENCE: Duration = Duration::from_secs(20);
