//! Over an API server of this process. What is known of the LiveStreams is what was read once.

use std::net::SocketAddr;
use std::sync::Arc;

use caudal_controller::RecordStore as _;
use caudal_kubernetes::fake_server::{FakeServer, Trouble};
use caudal_kubernetes::live_stream::Place;
use caudal_kubernetes::watching::News;
use caudal_kubernetes::worker_pool::Template;
use caudal_kubernetes::{LiveStreamStatus, StoredLifecycle};
use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::lifecycle::{Input, Lifecycle};
use caudal_livestream::record::{Phase, WorkerAddress};
use caudal_livestream::{Epoch, Generation, UnixMillis};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::build::tests::{pool, settings};
use crate::records::RecordSettings;

const UID: &str = "00000000-0000-4000-8000-00000000000a";

struct World {
    server: FakeServer,
    pods: Pods,
    pools: Pools,
    streams: LiveStreams,
    stream: StreamId,
}

impl World {
    fn new() -> Self {
        let server = FakeServer::new();
        let (pods, pools) = (Pods::default(), Pools::default());
        pools.take(News::Is(Box::new(pool(Template::default()))));
        let streams = streams(&server);
        Self { server, pods, pools, streams, stream: StreamId::generate() }
    }

    /// A pod that is claimed for the stream by the LiveStream of this uid.
    fn claimed(&self, owner: &str) -> String {
        let pool = pool(Template::default());
        let pod = crate::build::cold(&pool, self.stream, Epoch(1), owner, &settings());
        let made = self.server.create("pods", serde_json::to_value(pod).unwrap());
        self.take(&made);
        made["metadata"]["name"].as_str().unwrap().to_owned()
    }

    fn take(&self, pod: &Value) {
        self.pods.take(News::Is(Box::new(serde_json::from_value(pod.clone()).unwrap())));
    }

    fn live_stream(&self) -> String {
        let name = names::live_stream(self.stream);
        let made = self.server.create(
            "livestreams",
            json!({
                "apiVersion": "caudal.dev/v1alpha1", "kind": "LiveStream",
                "metadata": { "name": name }, "spec": { "stream": self.stream },
            }),
        );
        made["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    fn orphans(&self) -> Orphans {
        let (pods, pools, streams) = (self.pods.clone(), self.pools.clone(), self.streams.clone());
        Orphans::new(&self.server.client(), "caudal", pods, pools, streams)
    }

    fn is_there(&self, name: &str) -> bool {
        self.server.get("pods", name).is_some_and(|pod| !pod["metadata"]["deletionTimestamp"].is_string())
    }
}

/// The LiveStreams of a server; nothing is read yet.
pub(crate) fn streams(server: &FakeServer) -> LiveStreams {
    let settings = RecordSettings {
        namespace: "caudal".to_owned(),
        wall: Arc::new(std::time::SystemTime::now),
        places: Arc::new(|_| Place::default()),
        playback: Arc::new(|_| None),
    };
    LiveStreams::new(server.client(), settings)
}

/// Runs for so many seconds.
async fn run(orphans: Orphans, seconds: u64) {
    let _ = tokio::time::timeout(Duration::from_secs(seconds), orphans.run()).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_live_stream_is_not_there_is_deleted_after_a_while() {
    let world = World::new();
    let name = world.claimed(UID);
    run(world.orphans(), 65).await;
    assert!(world.is_there(&name), "not at once");
    run(world.orphans(), 65).await;
    assert!(world.is_there(&name), "another leader counts anew");
    run(world.orphans(), 75).await;
    assert!(!world.is_there(&name));
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_another_live_stream_of_the_same_name_is_deleted_and_its_own_stays() {
    let world = World::new();
    world.live_stream();
    world.streams.load().await.unwrap();
    let name = world.claimed(UID);
    run(world.orphans(), 75).await;
    assert!(!world.is_there(&name));

    let world = World::new();
    let uid = world.live_stream();
    world.streams.load().await.unwrap();
    let name = world.claimed(&uid);
    run(world.orphans(), 600).await;
    assert!(world.is_there(&name));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_live_streams_that_is_late_costs_no_worker() {
    let world = World::new();
    // The copy never hears of it.
    let uid = world.live_stream();
    let name = world.claimed(&uid);
    run(world.orphans(), 600).await;
    assert!(world.is_there(&name));
    // Nor does a server that does not answer.
    let world = World::new();
    let name = world.claimed(UID);
    for _ in 0..20 {
        world.server.trouble("GET livestreams", Trouble::Answer(500, "InternalError"));
    }
    run(world.orphans(), 120).await;
    assert!(world.is_there(&name));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_somebody_has_changed_meanwhile_stays() {
    let world = World::new();
    let name = world.claimed(UID);
    world.server.change("pods", &name, |pod| pod["metadata"]["annotations"]["touched"] = json!("yes"));
    run(world.orphans(), 600).await;
    assert!(world.is_there(&name), "what is known of it is not what it is");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_the_operators_is_left_alone_and_so_is_a_paused_pool() {
    let world = World::new();
    let name = world.claimed(UID);
    world.server.change("pods", &name, |pod| pod["metadata"]["ownerReferences"] = json!([]));
    world.take(&world.server.get("pods", &name).unwrap());
    run(world.orphans(), 600).await;
    assert!(world.is_there(&name));

    let world = World::new();
    let mut paused = pool(Template::default());
    paused.metadata.annotations = Some([(names::PAUSED_ANNOTATION.to_owned(), "true".to_owned())].into());
    world.pools.take(News::Is(Box::new(paused)));
    let name = world.claimed(UID);
    run(world.orphans(), 600).await;
    assert!(world.is_there(&name));
}

/// A machine whose worker is this one, under the first epoch.
fn served_by(stream: StreamId, worker: WorkerId) -> Lifecycle {
    let now = UnixMillis(1_800_000_000_000);
    let mut machine = Lifecycle::new(stream, 30_000, Generation(1), now);
    let socket = SocketAddr::from(([10, 1, 2, 3], 1));
    let address = WorkerAddress { worker, rtmp: socket, http: socket };
    machine.handle(now, Input::WorkerClaimed(Epoch(1), address));
    machine.handle(now, Input::AssignmentTaken(Epoch(1), AssignmentMode::Live));
    machine
}

fn uid(object: &Value) -> WorkerId {
    object["metadata"]["uid"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_claimed_behind_its_broadcasts_back_is_deleted_and_the_broadcasts_own_stays() {
    for over in [false, true] {
        let world = World::new();
        let owner = world.live_stream();
        let own = world.claimed(&owner);
        let mut second = world.server.get("pods", &own).unwrap();
        second["metadata"]["name"] = json!(format!("{own}-2"));
        second["metadata"]["uid"] = Value::Null;
        let second = world.server.create("pods", second);
        world.take(&second);
        let stray = second["metadata"]["name"].as_str().unwrap();
        let name = names::live_stream(world.stream);
        // It is claimed for, and nobody has answered yet.
        let waits = Lifecycle::new(world.stream, 30_000, Generation(1), UnixMillis(0));
        let tell = |status: &LiveStreamStatus| {
            world.server.change("livestreams", &name, |stream| stream["status"] = json!(status));
        };
        let stored = |machine: &Lifecycle| LiveStreamStatus {
            lifecycle: Some(StoredLifecycle::of(machine).unwrap()),
            ..LiveStreamStatus::default()
        };
        tell(&stored(&waits));
        world.streams.load().await.unwrap();
        run(world.orphans(), 600).await;
        assert!(world.is_there(stray) && world.is_there(&own));

        let serves = served_by(world.stream, uid(&world.server.get("pods", &own).unwrap()));
        tell(&stored(&serves));
        run(world.orphans(), 600).await;
        assert!(world.is_there(stray), "the copy is late");
        world.streams.load().await.unwrap();
        if over {
            // Nothing is left to be done for it, and it is kept for people.
            let ended_at = Some(MicroTime(Timestamp::from_second(1_800_000_000).unwrap()));
            tell(&LiveStreamStatus { phase: Phase::Ended, ended_at, ..LiveStreamStatus::default() });
        }
        run(world.orphans(), 65).await;
        assert!(world.is_there(stray), "not at once");
        run(world.orphans(), 75).await;
        assert!(!world.is_there(stray));
        assert!(world.is_there(&own));
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_a_broadcast_that_is_known_to_be_over_is_deleted_at_the_first_look() {
    let world = World::new();
    let stray = world.claimed(&world.live_stream());
    let ended_at = Some(MicroTime(Timestamp::from_second(1_800_000_000).unwrap()));
    let over = LiveStreamStatus { phase: Phase::Ended, ended_at, ..LiveStreamStatus::default() };
    let name = names::live_stream(world.stream);
    world.server.change("livestreams", &name, |stream| stream["status"] = json!(over));
    world.streams.load().await.unwrap();
    run(world.orphans(), 15).await;
    assert!(!world.is_there(&stray));
}
