//! The local controller against workers and an api in this process.

mod fake_api;
mod fake_workers;
#[path = "../../../storage/tests/moto/mod.rs"]
mod moto;
mod moves;
mod notices;
mod relay_failures;
mod retention;
mod wall_clock;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

use axum::http::StatusCode;
use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::fixtures::{ingest, spec};
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::Phase;
use caudal_livestream::{Epoch, Generation, Msn};
use ed25519_dalek::SigningKey;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use fake_api::FakeApi;
use fake_workers::{FakeWorker, FakeWorkers};

/// A directory over fakes, and everything a test asks of it.
struct Stage {
    folder: TempDir,
    media: SegmentStore,
    api: FakeApi,
    workers: Arc<FakeWorkers>,
    wall: TestWall,
    directory: Arc<LocalDirectory>,
}

impl Stage {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let media = SegmentStore::folder(folder.path().join("media")).unwrap();
        Self::with(folder, media).await
    }

    /// Over a storage elsewhere.
    async fn over(media: SegmentStore) -> Self {
        Self::with(TempDir::new().unwrap(), media).await
    }

    async fn with(folder: TempDir, media: SegmentStore) -> Self {
        let api = FakeApi::start().await;
        let workers = FakeWorkers::new();
        let wall = TestWall::start();
        let directory = start(&folder, &media, &api, &workers, &wall);
        Self { folder, media, api, workers, wall, directory }
    }

    /// As after `kill -9`: nothing is told to anyone, all workers die.
    async fn restart(&mut self) {
        self.restart_after(Duration::ZERO).await;
    }

    /// The same, and the machine was off for so long.
    async fn restart_after(&mut self, off: Duration) {
        self.directory.close().await;
        self.wall.set_by(i64::try_from(off.as_millis()).unwrap());
        self.workers.kill_all();
        self.workers = FakeWorkers::new();
        self.directory = start(&self.folder, &self.media, &self.api, &self.workers, &self.wall);
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
            Ok(Ok(streams)) => Arc::clone(streams.get(&stream).unwrap()),
            _ => panic!("never so: {}", shown()),
        }
    }
}

fn start(
    folder: &TempDir,
    media: &SegmentStore,
    api: &FakeApi,
    workers: &Arc<FakeWorkers>,
    wall: &TestWall,
) -> Arc<LocalDirectory> {
    let config = LocalConfig {
        folder: folder.path().join("streams"),
        media: media.clone(),
        max_streams: 2,
        workers: workers.clone(),
        assignments: fake_workers::signing_key().into(),
        router_key: RoleKey::new([1; 32]).into(),
        feed_key: RoleKey::new([2; 32]).into(),
        api: api.base(),
        signer: Signer::new("controller", FakeApi::key()),
        metrics: Metrics::register(&prometheus::Registry::new()).unwrap(),
        traces: Traces::off(),
    };
    LocalDirectory::start_with(config, wall.clock()).unwrap()
}

/// A wall clock that goes as fast as tokio's, and can be set.
struct TestWall {
    begun: Instant,
    set_by_ms: Arc<AtomicI64>,
}

impl TestWall {
    fn start() -> Self {
        Self { begun: Instant::now(), set_by_ms: Arc::default() }
    }

    fn clock(&self) -> WallClock {
        let (begun, set_by_ms) = (self.begun, Arc::clone(&self.set_by_ms));
        Arc::new(move || {
            let now = BEGINNING_MS + i64::try_from(begun.elapsed().as_millis()).unwrap();
            let now = now + set_by_ms.load(Ordering::Relaxed);
            UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap())
        })
    }

    /// Sets it forward, or back.
    fn set_by(&self, ms: i64) {
        self.set_by_ms.fetch_add(ms, Ordering::Relaxed);
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
    assert_eq!(over.status.reason.as_deref(), Some("its owner or an administrator ended it"));
    assert_eq!(stage.api.next().await, format!("done {stream} published=true ended_by_owner"));
    worker.until_released().await;

    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(notices.recv().await.unwrap().to_string());
    }
    assert_eq!(
        lines,
        ["ann: connected, starting", "ann: went live", "ann: ended: its owner or an administrator ended it"]
    );
    stage.directory.close().await;
}

#[tokio::test]
async fn a_dead_worker_is_replaced_behind_what_was_announced_and_the_publisher_goes_on() {
    let stage = Stage::new().await;
    let (stream, worker) = stage.live().await;
    worker.announce_segment();
    worker.announce_segment();
    worker.kill();
    let second = stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
    let assignment = second.assignments().pop().unwrap();
    assert_eq!(assignment.floor.map(|floor| floor.msn), Some(caudal_livestream::Msn(9)));
    let shown = stage.until(stream, |s| s.status.worker == Some(second.address())).await;
    assert_eq!((shown.status.phase, shown.status.epoch), (Phase::Live, Epoch(2)));
    worker.until_released().await;
    stage.directory.close().await;
}

#[tokio::test]
async fn a_worker_that_refuses_its_assignment_is_replaced() {
    let stage = Stage::new().await;
    stage.workers.next_refuses(StatusCode::CONFLICT);
    let stream = stage.open().await;
    stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
    assert_eq!(stage.workers.claimed(), 2);
    stage.directory.close().await;
}

#[tokio::test]
async fn a_publisher_is_replaced_only_by_the_next_generation_and_only_while_the_stream_is_open() {
    let stage = Stage::new().await;
    let (stream, worker) = stage.live().await;
    stage.directory.drop_publisher(stream, "too loud".to_owned()).await.unwrap();
    let order = stage.directory.get(stream).unwrap().spec.drop.clone().unwrap();
    assert_eq!(order.session, stage.directory.get(stream).unwrap().spec.ingest.session);
    worker.publisher_gone(Generation(1), false);
    stage.until(stream, |s| s.status.phase == Phase::Reconnecting).await;

    for wrong in [1, 3] {
        let refused = stage.directory.reconnect(stream, ingest(wrong)).await;
        assert!(matches!(refused, Err(ReconnectError::Stale(Generation(1)))), "{wrong}: {refused:?}");
    }
    let newcomer = ingest(2);
    let record = stage.directory.reconnect(stream, newcomer.clone()).await.unwrap();
    assert_eq!((&record.spec.ingest, &record.spec.drop), (&newcomer, &None));
    worker.publisher_up(Generation(2));
    stage.until(stream, |s| s.status.phase == Phase::Live).await;

    stage.directory.end(stream, EndReason::EndedByOwner).await.unwrap();
    let late = stage.directory.reconnect(stream, ingest(3)).await;
    assert!(matches!(late, Err(ReconnectError::Over(_))), "{late:?}");
    let unknown = stage.directory.reconnect(StreamId::generate(), ingest(1)).await;
    assert!(matches!(unknown, Err(ReconnectError::Unknown)), "{unknown:?}");
    stage.directory.close().await;
}

#[tokio::test]
async fn of_many_publishers_that_want_the_same_generation_one_gets_it() {
    let stage = Stage::new().await;
    let stream = stage.open().await;
    let rivals = (0..16).map(|_| stage.directory.reconnect(stream, ingest(2)));
    let winners = futures::future::join_all(rivals).await.into_iter().flatten().count();
    assert_eq!(winners, 1);
    stage.directory.close().await;
}

#[tokio::test]
async fn what_a_router_measures_is_shown_while_it_is_of_the_current_publisher() {
    let stage = Stage::new().await;
    let stream = stage.open().await;
    let session = stage.directory.get(stream).unwrap().spec.ingest.session;
    let media = |bitrate| MediaInfo { bitrate, ..MediaInfo::default() };
    stage.directory.report_media(stream, session, media(5)).await;
    stage.until(stream, |s| s.status.media.as_ref().is_some_and(|m| m.bitrate == 5)).await;
    stage.directory.report_media(stream, SessionId::generate(), media(6)).await;
    // Commands are taken in order, so the stranger's word has been heard by now.
    let record = stage.directory.reconnect(stream, ingest(2)).await.unwrap();
    assert_eq!(record.status.media, None);
    stage.directory.close().await;
}

#[tokio::test]
async fn a_publisher_that_a_router_turned_away_twice_for_its_media_ends_its_broadcast() {
    let stage = Stage::new().await;
    let (stream, worker) = stage.live().await;
    assert_eq!(stage.api.next().await, format!("published {stream}"));
    let session = stage.directory.get(stream).unwrap().spec.ingest.session;
    stage.directory.media_refused(stream, SessionId::generate(), "somebody else".to_owned()).await;
    let refused =
        |session| stage.directory.media_refused(stream, session, "av01 is not supported".to_owned());
    // A router that repeats itself is not a publisher that came again.
    refused(session).await;
    refused(session).await;
    let again = stage.directory.reconnect(stream, ingest(2)).await.unwrap();
    refused(again.spec.ingest.session).await;
    worker.until_told(AssignmentMode::Finish).await;
    worker.end_feed();
    let over = stage.until(stream, |s| s.status.phase == Phase::Failed).await;
    let reason = over.status.reason.as_deref();
    assert_eq!(reason, Some("what was sent cannot be played: av01 is not supported"));
    assert_eq!(stage.api.next().await, format!("done {stream} published=true nothing_playable"));
    stage.directory.close().await;
}

#[tokio::test]
async fn a_stream_is_opened_once_and_only_while_there_is_room() {
    let stage = Stage::new().await;
    let first = spec();
    stage.directory.open(first.clone()).await.unwrap();
    let again = stage.directory.open(first.clone()).await;
    assert!(matches!(again, Err(OpenError::Exists(known)) if known.spec.stream == first.stream));
    stage.directory.open(spec()).await.unwrap();
    assert!(matches!(stage.directory.open(spec()).await, Err(OpenError::NoCapacity)));
    stage.directory.end(first.stream, EndReason::EndedByOwner).await.unwrap();
    stage.directory.open(spec()).await.unwrap();
    stage.directory.close().await;
}

#[tokio::test]
async fn a_stream_that_was_never_opened_can_be_ended_and_not_opened_afterwards() {
    let mut stage = Stage::new().await;
    let spec = spec();
    stage.directory.end(spec.stream, EndReason::EndedByOwner).await.unwrap();
    stage.directory.end(spec.stream, EndReason::EndedByOwner).await.unwrap();
    assert_eq!(stage.api.next().await, format!("done {} published=false ended_by_owner", spec.stream));
    stage.restart().await;
    match stage.directory.open(spec).await {
        Err(OpenError::Exists(record)) => assert_eq!(record.status.phase, Phase::Ended),
        other => panic!("{other:?}"),
    }
    assert!(stage.directory.watch().borrow().is_empty(), "nobody has to know of it");
    stage.directory.close().await;
}

#[tokio::test]
async fn a_report_is_repeated_until_the_api_acknowledges_it_also_over_a_restart() {
    let mut stage = Stage::new().await;
    stage.api.answer(StatusCode::SERVICE_UNAVAILABLE);
    let stream = stage.open().await;
    stage.directory.end(stream, EndReason::EndedByOwner).await.unwrap();
    let done = format!("done {stream} published=false ended_by_owner");
    assert_eq!(stage.api.next().await, done);
    assert_eq!(stage.api.next().await, done);
    stage.restart().await;
    stage.api.answer(StatusCode::NO_CONTENT);
    assert_eq!(stage.api.next().await, done);
    assert_eq!(stage.directory.end_all(PATIENCE).await, 0, "the api knows now");
    stage.directory.close().await;
}

#[tokio::test]
async fn after_a_crash_a_live_stream_goes_on_under_the_next_epoch() {
    let mut stage = Stage::new().await;
    let (stream, worker) = stage.live().await;
    worker.announce_segment();
    assert_eq!(stage.api.next().await, format!("published {stream}"));
    stage.restart().await;
    let second = stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
    assert!(second.assignments()[0].floor.is_some());
    let record = stage.directory.reconnect(stream, ingest(2)).await.unwrap();
    assert_eq!(record.spec.ingest.generation, Generation(2));
    second.publisher_up(Generation(2));
    second.announce_segment();
    stage.until(stream, |s| s.status.phase == Phase::Live && s.status.worker == Some(second.address())).await;
    stage.directory.end(stream, EndReason::EndedByOwner).await.unwrap();
    second.until_told(AssignmentMode::Finish).await;
    second.end_feed();
    assert_eq!(stage.api.next().await, format!("done {stream} published=true ended_by_owner"));
    stage.directory.close().await;
}

#[tokio::test]
async fn a_publisher_whose_window_passed_while_nobody_ran_can_still_return_after_the_restart() {
    let mut stage = Stage::new().await;
    let (stream, worker) = stage.live().await;
    worker.publisher_gone(Generation(1), false);
    stage.until(stream, |s| s.status.phase == Phase::Reconnecting).await;
    stage.restart_after(Duration::from_secs(600)).await;
    let record = stage.directory.reconnect(stream, ingest(2)).await.unwrap();
    assert!(!record.status.phase.is_over(), "{:?}", record.status);
    stage.directory.close().await;
}

#[tokio::test]
async fn a_stream_that_was_being_closed_long_ago_is_closed_by_a_worker_after_the_restart() {
    let mut stage = Stage::new().await;
    let (stream, worker) = stage.live().await;
    stage.directory.end(stream, EndReason::EndedByOwner).await.unwrap();
    worker.until_told(AssignmentMode::Finish).await;
    stage.restart_after(Duration::from_secs(600)).await;
    let second = stage.workers.assigned(stream, Epoch(2), AssignmentMode::Finish).await;
    second.end_feed();
    stage.until(stream, |s| s.status.phase == Phase::Ended).await;
    stage.directory.close().await;
}

#[tokio::test]
async fn a_stream_is_known_from_the_first_moment_after_a_restart() {
    let mut stage = Stage::new().await;
    let (stream, _) = stage.live().await;
    stage.restart().await;
    // Nothing has been awaited since: whoever compares its own list with the directory's may ask at once.
    let known = StreamControl::inspect(stage.directory.as_ref(), stream);
    assert!(known.is_some_and(|known| !known.status.phase.is_over()));
    stage.directory.close().await;
}

#[tokio::test]
async fn a_shutdown_ends_every_stream_and_says_so_while_the_api_is_there() {
    let stage = Stage::new().await;
    let (live, worker) = stage.live().await;
    stage.workers.scarce(true);
    let waiting = stage.open().await;
    assert_eq!(stage.api.next().await, format!("published {live}"));
    let (left, ()) = tokio::join!(stage.directory.end_all(PATIENCE), async {
        worker.until_told(AssignmentMode::Finish).await;
        worker.end_feed();
    });
    assert_eq!(left, 0);
    let mut told = [stage.api.next().await, stage.api.next().await];
    told.sort_by_key(|line| line.contains("published=true"));
    assert_eq!(
        told,
        [format!("done {waiting} published=false shutdown"), format!("done {live} published=true shutdown")]
    );
    stage.directory.close().await;
}

#[tokio::test]
async fn while_nothing_can_be_written_streams_change_workers_begin_and_end() {
    let stage = Stage::new().await;
    let (stream, worker) = stage.live().await;
    assert_eq!(stage.api.next().await, format!("published {stream}"));
    // Every write fails while a file is where the folder was.
    let streams = stage.folder.path().join("streams");
    std::fs::rename(&streams, stage.folder.path().join("away")).unwrap();
    std::fs::write(&streams, b"").unwrap();
    worker.kill();
    let second = stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
    let other = stage.open().await;
    stage.until(other, |s| s.status.phase == Phase::Starting).await;
    stage.directory.end(stream, EndReason::EndedByOwner).await.unwrap();
    second.until_told(AssignmentMode::Finish).await;
    second.end_feed();
    assert_eq!(stage.api.next().await, format!("done {stream} published=true ended_by_owner"));
    stage.directory.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_put_aside_and_nothing_of_anybody_else_is_touched() {
    let mut stage = Stage::new().await;
    let stream = stage.open().await;
    let folder = stage.folder.path().join("streams");
    let broken = StreamId::generate();
    let theirs = [
        // What was put aside at an earlier start, and what has no stream's name.
        (format!("{broken}.broken"), "an earlier one"),
        ("notes.new".to_owned(), "theirs"),
        ("notes.json".to_owned(), "theirs"),
        ("notes.broken".to_owned(), "theirs"),
    ];
    for (name, text) in &theirs {
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::write(folder.join(format!("{broken}.json")), "{").unwrap();
    let misnamed = StreamId::generate();
    std::fs::copy(folder.join(format!("{stream}.json")), folder.join(format!("{misnamed}.json"))).unwrap();
    std::fs::write(folder.join(format!("{}.new", StreamId::generate())), "half").unwrap();
    stage.restart().await;
    stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
    let mut left: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    let mut expected =
        vec![format!("{broken}.broken-1"), format!("{misnamed}.broken"), format!("{stream}.json")];
    expected.extend(theirs.iter().map(|(name, _)| name.clone()));
    expected.sort();
    // The stream's task may be writing at this moment.
    left.retain(|name| *name != format!("{stream}.new"));
    assert_eq!(left, expected);
    for (name, text) in &theirs {
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), *text);
    }
    stage.directory.close().await;
}

#[tokio::test]
async fn a_folder_in_place_of_a_streams_file_does_not_keep_other_streams_from_going_on() {
    let mut stage = Stage::new().await;
    let stream = stage.open().await;
    let folder = stage.folder.path().join("streams");
    let (unreadable, unfinished) = (StreamId::generate(), StreamId::generate());
    for name in [format!("{unreadable}.json"), format!("{unfinished}.new")] {
        std::fs::create_dir_all(folder.join(name).join("theirs")).unwrap();
    }
    stage.restart().await;
    stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
    assert!(folder.join(format!("{unreadable}.broken/theirs")).is_dir(), "put aside");
    assert!(folder.join(format!("{unfinished}.new/theirs")).is_dir(), "left alone");
    stage.directory.close().await;
}

#[tokio::test]
async fn a_removed_folder_of_streams_is_made_again_when_a_stream_is_stored() {
    let mut stage = Stage::new().await;
    std::fs::remove_dir(stage.folder.path().join("streams")).unwrap();
    let stream = stage.open().await;
    stage.restart().await;
    stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
    stage.directory.close().await;
}

const PATIENCE: Duration = Duration::from_secs(20);
/// In 2027.
const BEGINNING_MS: i64 = 1_800_000_000_000;
