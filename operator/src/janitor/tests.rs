//! The janitor over an API server of this process, and over a folder and a bucket.

use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Mutex;
use std::time::Duration;

use caudal_kubernetes::LiveStreamSpec;
use caudal_kubernetes::fake_server::{FakeServer, Trouble};
use caudal_kubernetes::names;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{Ownership, StoredState};
use caudal_livestream::{Epoch, WorkerId, fixtures};
use caudal_storage::{Key, StreamFile};
use ed25519_dalek::SigningKey;
use moto::Moto;
use serde_json::json;

use super::*;

#[path = "../../../crates/storage/tests/moto/mod.rs"]
#[allow(dead_code, reason = "what other tests use of it")]
mod moto;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

struct World {
    server: FakeServer,
    store: SegmentStore,
    /// By how much the API server's clock is ahead of when things are written.
    later: Duration,
}

impl World {
    fn new(store: SegmentStore, later: Duration) -> Self {
        Self { server: FakeServer::new(), store, later }
    }

    /// A broadcast that began so long before the janitor looks, as its worker left it.
    async fn stored(&self, began: Duration, owner: Option<Ownership>) -> StreamId {
        let at = (self.now() - began).duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let at = uuid::Timestamp::from_unix(uuid::NoContext, at.as_secs(), at.subsec_nanos());
        let stream = StreamId(uuid::Uuid::new_v7(at));
        let nowhere = "127.0.0.1:9".parse().unwrap();
        let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere };
        let state = StoredState { stream, epoch: Epoch(1), worker, owner, filled: None };
        self.store.claim(&state).await.unwrap();
        self.store.put(&Key::Live(stream, StreamFile::Master), "m".into()).await.unwrap();
        self.store.put(&Key::Poster(stream), "p".into()).await.unwrap();
        stream
    }

    fn resource(
        &self,
        stream: StreamId,
        ended: Option<Duration>,
        change: impl FnOnce(&mut serde_json::Value),
    ) {
        let spec = caudal_livestream::record::Spec { stream, ..fixtures::spec() };
        let mut resource =
            serde_json::to_value(LiveStream::new(&names::live_stream(stream), LiveStreamSpec::of(&spec)))
                .unwrap();
        resource["status"] = match ended {
            None => json!({ "phase": "Live", "epoch": 1 }),
            Some(ago) => {
                let at = k8s_openapi::jiff::Timestamp::try_from(self.now() - ago).unwrap();
                json!({ "phase": "Ended", "epoch": 1, "endedAt": at.to_string() })
            }
        };
        resource["spec"]["record"] = json!(false);
        resource["spec"]["ttlSecondsAfterEnded"] = json!(3600);
        change(&mut resource);
        self.server.create("livestreams", resource);
    }

    fn now(&self) -> SystemTime {
        SystemTime::now() + self.later
    }

    async fn swept(&self, mode: Mode) -> (Result<Swept, JanitorError>, Vec<String>) {
        let janitor = Janitor {
            client: self.server.client(),
            namespace: "caudal".to_owned(),
            store: self.store.clone(),
            installations: vec![installation(1)],
            mode,
        };
        let said = Mutex::new(Vec::new());
        let later = self.later;
        let wall: WallClock = Arc::new(move || SystemTime::now() + later);
        let outcome = janitor.sweep_by(&wall, |line| said.lock().unwrap().push(line)).await;
        (outcome, said.into_inner().unwrap())
    }

    async fn left(&self) -> Vec<StreamId> {
        self.store.streams().await.unwrap()
    }
}

fn installation(key: u8) -> InstallationId {
    InstallationId::of(&SigningKey::from_bytes(&[key; 32]).verifying_key())
}

fn ours(record: bool) -> Ownership {
    Ownership { installation: installation(1), record }
}

/// Everything that may lie there, with what is to become of it.
async fn streams_of_all_kinds(world: &World) -> (Vec<StreamId>, Vec<StreamId>) {
    let theirs = Some(Ownership { installation: installation(2), record: false });
    let orphan = world.stored(DAY * 3, Some(ours(false))).await;
    let over = world.stored(DAY * 2, Some(ours(false))).await;
    world.resource(over, Some(HOUR * 2), |_| {});
    let mut kept = vec![
        world.stored(DAY * 3, Some(ours(true))).await,
        world.stored(DAY * 3, theirs).await,
        world.stored(DAY * 3, None).await,
        world.stored(HOUR, Some(ours(false))).await,
    ];
    let live = world.stored(DAY * 3, Some(ours(false))).await;
    world.resource(live, None, |_| {});
    let within_its_time = world.stored(DAY * 3, Some(ours(false))).await;
    world.resource(within_its_time, Some(HOUR / 2), |_| {});
    let paused = world.stored(DAY * 3, Some(ours(false))).await;
    world.resource(paused, Some(HOUR * 2), |resource| {
        resource["metadata"]["annotations"] = json!({ names::PAUSED_ANNOTATION: "true" });
    });
    let recorded = world.stored(DAY * 3, Some(ours(false))).await;
    world.resource(recorded, Some(HOUR * 2), |resource| resource["spec"]["record"] = json!(true));
    let of_the_future = world.stored(DAY * 3, Some(ours(false))).await;
    world.resource(of_the_future, Some(HOUR * 2), |resource| resource["spec"]["renditions"] = json!("many"));
    let only_ended = world.stored(DAY * 3, None).await;
    world.resource(only_ended, Some(HOUR * 2), |resource| {
        let spec = serde_json::to_value(LiveStreamSpec::ended(only_ended)).unwrap();
        resource["spec"] = spec;
    });
    kept.extend([live, within_its_time, paused, recorded, of_the_future, only_ended]);
    kept.sort_unstable_by_key(|stream| stream.0);
    (vec![orphan, over], kept)
}

async fn sweeps(world: &World) {
    let (goes, kept) = streams_of_all_kinds(world).await;
    let all = world.left().await;
    let expected = Swept { removed: 2, failed: 0 };

    let (outcome, said) = world.swept(Mode::DryRun).await;
    assert_eq!(outcome.unwrap(), expected, "{said:?}");
    assert_eq!(world.left().await, all, "nothing was removed");
    for stream in &goes {
        let line = format!("live/{stream}: would be removed: ");
        assert_eq!(said.iter().filter(|said| said.starts_with(&line)).count(), 1, "{said:?}");
    }

    let (outcome, said) = world.swept(Mode::Remove).await;
    assert_eq!(outcome.unwrap(), expected, "{said:?}");
    assert_eq!(world.left().await, kept);
    assert_eq!(said.len(), 3, "{said:?}");
    for stream in &goes {
        let line = format!("live/{stream}: removed: ");
        assert_eq!(said.iter().filter(|said| said.starts_with(&line)).count(), 1, "{said:?}");
    }
    assert_eq!(
        said[2],
        "streams in storage: 12; removed: 2; failed: 0; going on: 1; ended not long enough ago: 1; paused: 1; with a LiveStream that \
         cannot be read: 2; without a LiveStream and younger than a day: 1; recordings: 1; recordings or another installation's: 2; \
         of which no state says whose they are: 1"
    );

    let (outcome, _) = world.swept(Mode::Remove).await;
    assert_eq!(outcome.unwrap(), Swept::default(), "twice is as good");
}

#[tokio::test]
async fn what_nobody_needs_goes_from_a_folder_and_all_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(SegmentStore::folder(folder.path()).unwrap(), DAY * 2);
    for name in ["live/films/holiday.mp4", "live/notes", "vod/one.mp4", "thumbnails/films/one.jpg"] {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "somebody's").unwrap();
    }
    sweeps(&world).await;
    for name in ["live/films/holiday.mp4", "live/notes", "vod/one.mp4", "thumbnails/films/one.jpg"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn what_nobody_needs_goes_from_a_bucket_and_all_else_stays() {
    let server = Moto::start();
    let world = World::new(server.store("shared"), DAY * 2);
    let put = server.request("PUT /shared/live/films/holiday.mp4");
    assert!(put.starts_with("http/1.1 200"), "{put}");
    sweeps(&world).await;
    assert!(server.request("GET /shared/live/films/holiday.mp4").starts_with("http/1.1 200"));
}

#[tokio::test]
async fn an_orphan_of_which_anything_was_written_today_stays() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(SegmentStore::folder(folder.path()).unwrap(), Duration::ZERO);
    let stream = world.stored(DAY * 3, Some(ours(false))).await;
    let written = |name: &str, ago: Duration| {
        let file = File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::now() - ago)).unwrap();
    };
    let all = [
        format!("live/{stream}/state-1.json"),
        format!("live/{stream}/master.m3u8"),
        format!("thumbnails/{stream}/poster.jpg"),
    ];
    for young in &all {
        for name in &all {
            written(name, if name == young { HOUR * 23 } else { DAY * 2 });
        }
        assert_eq!(world.swept(Mode::Remove).await.0.unwrap(), Swept::default(), "{young}");
    }
    for name in &all {
        written(name, DAY * 2);
    }
    assert_eq!(world.swept(Mode::Remove).await.0.unwrap().removed, 1);
    assert!(world.left().await.is_empty());
}

#[tokio::test]
async fn without_the_live_streams_nothing_is_removed() {
    for trouble in [Trouble::Answer(403, "Forbidden"), Trouble::Answer(500, "InternalError")] {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(SegmentStore::folder(folder.path()).unwrap(), DAY * 2);
        let orphan = world.stored(DAY * 3, Some(ours(false))).await;
        world.server.trouble("livestreams", trouble);
        let (outcome, said) = world.swept(Mode::Remove).await;
        assert!(matches!(outcome, Err(JanitorError::LiveStreams(_))), "{outcome:?}");
        assert_eq!((world.left().await, said), (vec![orphan], Vec::<String>::new()));
    }
}

#[tokio::test]
async fn one_stream_that_cannot_be_removed_keeps_no_other_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(SegmentStore::folder(folder.path()).unwrap(), DAY * 2);
    let stuck = world.stored(DAY * 3, Some(ours(false))).await;
    let other = world.stored(DAY * 3, Some(ours(false))).await;
    // No store can list a name that is not text.
    let unnameable = OsStr::from_bytes(b"\xff.m4s");
    std::fs::write(folder.path().join(format!("live/{stuck}")).join(unnameable), "media").unwrap();
    let (outcome, said) = world.swept(Mode::Remove).await;
    assert_eq!(outcome.unwrap(), Swept { removed: 1, failed: 1 }, "{said:?}");
    assert!(
        said.iter().any(|line| line.starts_with(&format!("live/{stuck}: stays until the next run: "))),
        "{said:?}"
    );
    assert_eq!(world.left().await, [stuck], "{other}");
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(SegmentStore::folder(folder.path()).unwrap(), Duration::ZERO);
    let janitor = Janitor {
        client: world.server.client(),
        namespace: "caudal".to_owned(),
        store: world.store.clone(),
        installations: vec![installation(1)],
        mode: Mode::Remove,
    };
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(matches!(janitor.sweep(&stop, drop).await, Err(JanitorError::Stopped)));
}
