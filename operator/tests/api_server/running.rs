//! Whole operators over a real server, with somebody who plays the kubelet and workers that only say what workers say: what a
//! container runtime, a network and ffmpeg would do is not tested here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caudal_controller::{
    Announcement, Announcements, Api as ReportsApi, LinkLost, NotAcknowledged, NotAssigned, WorkerLink,
};
use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::assignment::{AssignmentMode, Floor};
use caudal_livestream::feed::InputState;
use caudal_livestream::lifecycle::ReportOrder;
use caudal_livestream::proof::{Proof, RoleKey, SignedAssignment};
use caudal_livestream::record::{Phase, WorkerAddress};
use caudal_livestream::{Epoch, Generation, MediaTime, Msn, SessionId, StreamId, WorkerId};
use caudal_operator::{Config, PodSettings, Storage};
use caudal_storage::SegmentStore;
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::records::open;
use crate::server::{namespace, until};

/// What outlives operators: the server, the workers, the api, and storage.
struct World {
    client: Client,
    namespace: String,
    workers: Arc<SaidWorkers>,
    media: tempfile::TempDir,
    kubelet: JoinHandle<()>,
}

/// Workers as far as an operator hears them.
#[derive(Default)]
struct SaidWorkers {
    /// Who has which epoch of which stream.
    owners: Mutex<HashMap<(StreamId, Epoch), WorkerId>>,
    ended: Mutex<HashMap<WorkerId, CancellationToken>>,
    reports: Mutex<Vec<String>>,
}

/// On a runtime of its own, which takes everything that it has begun with it.
struct Operator {
    runtime: Runtime,
    running: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl World {
    async fn new() -> Option<Self> {
        let (client, namespace) = namespace().await?;
        let pool = json!({
            "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "default" },
            "spec": { "maxWorkers": 4, "moveSurge": 1, "warm": { "min": 1, "percentOfLive": 0, "max": 1 } },
        });
        let pools: Api<WorkerPool> = Api::namespaced(client.clone(), &namespace);
        pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
        let workers = Arc::<SaidWorkers>::default();
        let kubelet =
            tokio::spawn(kubelet(Api::namespaced(client.clone(), &namespace), Arc::clone(&workers)));
        Some(Self { client, namespace, workers, media: tempfile::tempdir().unwrap(), kubelet })
    }

    fn operator(&self, name: &str) -> Operator {
        let config = Config {
            client: self.client.clone(),
            identity: name.to_owned(),
            pods: PodSettings {
                namespace: self.namespace.clone(),
                release: "caudal".to_owned(),
                image: "example.org/caudal:0.1.0".to_owned(),
                pull_secrets: Vec::new(),
                secret: "caudal-worker".to_owned(),
                storage: Storage::Volume { claim: "caudal-media".to_owned() },
                log_level: None,
            },
            pool: "default".to_owned(),
            media: SegmentStore::folder(self.media.path()).unwrap(),
            link: self.workers.clone(),
            api: self.workers.clone(),
            assignments: SigningKey::from_bytes(&[9; 32]),
            router_key: RoleKey::new([1; 32]).into(),
            feed_key: RoleKey::new([2; 32]).into(),
            edge: Some("https://example.org".to_owned()),
            registry: prometheus::Registry::new(),
            readiness: caudal_service::health::Readiness::default(),
        };
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let running =
            runtime.spawn(async move { Box::pin(caudal_operator::run(config, stop)).await.unwrap() });
        Operator { runtime, running, shutdown }
    }

    async fn until_stream(
        &self,
        stream: StreamId,
        what: &str,
        so: impl Fn(&LiveStream) -> bool,
    ) -> LiveStream {
        let api: Api<LiveStream> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = names::live_stream(stream);
        until(what, async || api.get_opt(&name).await.unwrap().filter(&so)).await
    }

    async fn until_live(&self, stream: StreamId, epoch: u32) -> WorkerId {
        let what = format!("live under epoch {epoch}");
        let live = |resource: &LiveStream| {
            resource.status.as_ref().is_some_and(|status| {
                status.phase == Phase::Live && status.epoch == Epoch(epoch) && status.worker.is_some()
            })
        };
        self.until_stream(stream, &what, live).await.status.unwrap().worker.unwrap().id
    }

    /// Waits until the pool says that so many workers wait.
    async fn until_warm(&self, idle: u32) {
        let pools: Api<WorkerPool> = Api::namespaced(self.client.clone(), &self.namespace);
        until("warm workers", async || {
            let status = pools.get("default").await.unwrap().status?;
            let ready = status.conditions.first().is_some_and(|ready| ready.status == "True");
            (ready && status.idle == idle).then_some(())
        })
        .await;
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

impl Operator {
    /// As SIGKILL: the lease stays as it is.
    fn kill(self) {
        self.runtime.shutdown_background();
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
        self.runtime.shutdown_background();
    }
}

/// Says of each pod that it runs, and of each that was deleted that its process has ended.
async fn kubelet(pods: Api<Pod>, workers: Arc<SaidWorkers>) {
    loop {
        for pod in pods.list(&ListParams::default()).await.into_iter().flatten() {
            let name = pod.name_any();
            if pod.metadata.deletion_timestamp.is_some() {
                workers.end(pod.uid().unwrap().parse().unwrap());
                let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
            } else if pod.status.and_then(|status| status.pod_ip).is_none() {
                let status = json!({ "status": {
                    "phase": "Running", "podIP": "10.1.2.4", "podIPs": [{ "ip": "10.1.2.4" }],
                    "conditions": [{ "type": "Ready", "status": "True" }],
                }});
                let _ = pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(status)).await;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

impl SaidWorkers {
    fn end(&self, worker: WorkerId) {
        self.life(worker).cancel();
    }

    fn life(&self, worker: WorkerId) -> CancellationToken {
        self.ended.lock().unwrap().entry(worker).or_default().clone()
    }

    fn reports(&self) -> Vec<String> {
        self.reports.lock().unwrap().clone()
    }
}

impl WorkerLink for SaidWorkers {
    fn assign<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        assignment: &'a SignedAssignment,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
        let assignment = assignment.verify(&key).unwrap();
        let place = (assignment.stream, assignment.epoch);
        let owner = *self.owners.lock().unwrap().entry(place).or_insert(worker.worker);
        assert_eq!(owner, worker.worker, "two workers of one epoch");
        if assignment.mode == AssignmentMode::Finish {
            // It has nothing to write, and says so.
            self.end(worker.worker);
        }
        Box::pin(async { Ok(()) })
    }

    fn follow<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        _proof: &'a Proof,
    ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>> {
        let ended = self.life(worker.worker);
        Box::pin(async move {
            if ended.is_cancelled() {
                return Err(LinkLost("it has ended".to_owned()));
            }
            let words: Box<dyn Announcements> = Box::new(Words { ended, said: 0 });
            Ok(words)
        })
    }
}

/// A publisher that is there, a segment, and heartbeats.
struct Words {
    ended: CancellationToken,
    said: u64,
}

impl Announcements for Words {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Announcement>, LinkLost>> {
        Box::pin(async move {
            let up = InputState {
                generation: Generation(1),
                up: true,
                session: Some(SessionId::generate()),
                silent_ms: Some(0),
                ..InputState::default()
            };
            self.said += 1;
            match self.said {
                1 => Ok(Some(Announcement::Input(up))),
                2 => Ok(Some(Announcement::Floor(Floor {
                    msn: Msn(7),
                    discontinuity: 0,
                    media_end: MediaTime(0),
                }))),
                _ => tokio::select! {
                    () = self.ended.cancelled() => Ok(None),
                    () = sleep(Duration::from_secs(1)) => Ok(Some(Announcement::Alive)),
                },
            }
        })
    }
}

impl ReportsApi for SaidWorkers {
    fn report<'a>(&'a self, report: &'a ReportOrder) -> BoxFuture<'a, Result<(), NotAcknowledged>> {
        let line = match report {
            ReportOrder::Published(body) => format!("published {}", body.stream),
            ReportOrder::Done(body) => format!("done {}", body.stream),
        };
        self.reports.lock().unwrap().push(line);
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_broadcast_outlives_the_operator_that_leads_and_then_the_worker_that_has_it() {
    let Some(world) = World::new().await else { return };
    let (one, two) = (world.operator("one"), world.operator("two"));
    world.until_warm(1).await;
    let warm = world.pods().get("w-default-0").await.unwrap();

    let stream = open(world.client.clone(), &world.namespace).await;
    let worker = world.until_live(stream, 1).await;
    assert_eq!(Some(worker.to_string()), warm.uid(), "the warm one has it");
    // Another one waits in its place.
    world.until_warm(1).await;

    // Whoever leads.
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(world.client.clone(), &world.namespace);
    let holder = async || leases.get("caudal-operator").await.unwrap().spec.unwrap().holder_identity.unwrap();
    let (leader, other) = if holder().await == "one" { (one, two) } else { (two, one) };
    let before = holder().await;
    leader.kill();
    until("another leader", async || Some(holder().await).filter(|now| *now != before)).await;
    let node_lost = DeleteParams::default().grace_period(0);
    world.pods().delete("w-default-0", &node_lost).await.unwrap();
    world.workers.end(worker);
    let next = world.until_live(stream, 2).await;
    assert_ne!(next, worker);

    let end = json!({ "spec": { "desiredState": "Ended" } });
    let api: Api<LiveStream> = Api::namespaced(world.client.clone(), &world.namespace);
    api.patch(&names::live_stream(stream), &PatchParams::default(), &Patch::Merge(end)).await.unwrap();
    world
        .until_stream(stream, "ended", |resource| {
            resource.status.as_ref().is_some_and(|status| status.phase == Phase::Ended)
        })
        .await;
    until("no worker of it", async || {
        let of_it = ListParams::default().labels(&format!("{}={stream}", names::STREAM_LABEL));
        world.pods().list(&of_it).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    until("both reports", async || {
        // A leader that is killed before it has stored that one was taken leaves it to the next to say it again.
        let mut reports = world.workers.reports();
        reports.dedup();
        (reports == [format!("published {stream}"), format!("done {stream}")]).then_some(())
    })
    .await;
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let told = until("what people read", async || {
        let told = events.list(&ListParams::default()).await.unwrap();
        let reasons: Vec<_> = told.into_iter().filter_map(|event| event.reason).collect();
        ["WentLive", "WorkerReplaced", "Ended"]
            .iter()
            .all(|reason| reasons.iter().any(|told| told == reason))
            .then_some(reasons)
    });
    told.await;
    other.stop().await;
    assert_eq!(holder().await, "", "let go of");
    world.kubelet.abort();
}

#[tokio::test]
async fn a_pool_says_how_it_stands_and_an_order_to_move_is_carried_out_once() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one");
    world.until_warm(1).await;
    let stream = open(world.client.clone(), &world.namespace).await;
    world.until_live(stream, 1).await;
    let order = json!({ "metadata": { "annotations": { names::MOVE_ANNOTATION: "now" } } });
    let api: Api<LiveStream> = Api::namespaced(world.client.clone(), &world.namespace);
    api.patch(&names::live_stream(stream), &PatchParams::default(), &Patch::Merge(order)).await.unwrap();
    // These workers say of every publisher that it is there, as one does that the router has switched to.
    world.until_live(stream, 2).await;
    world
        .until_stream(stream, "an order that is answered", |resource| {
            !resource.annotations().contains_key(names::MOVE_ANNOTATION)
        })
        .await;
    operator.stop().await;
    world.kubelet.abort();
}
