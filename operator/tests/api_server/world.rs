//! Somebody who plays the kubelet, and workers that only say what workers say: what a container runtime, a network and ffmpeg would do
//! is not tested over these.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caudal_controller::{
    Announcement, Announcements, Api as ReportsApi, LinkLost, NotAcknowledged, NotAssigned, WorkerLink,
};
use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::assignment::{AssignmentMode, Floor};
use caudal_livestream::credentials::SealingPublicKey;
use caudal_livestream::feed::InputState;
use caudal_livestream::lifecycle::ReportOrder;
use caudal_livestream::proof::{Proof, RoleKey, SignedAssignment, SignedRenewal};
use caudal_livestream::record::{Phase, WorkerAddress};
use caudal_livestream::{Epoch, Generation, MediaTime, Msn, SessionId, StreamId, WorkerId};
use caudal_operator::{Config, PodSettings, Storage, Term};
use caudal_storage::SegmentStore;
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client, ResourceExt as _};
use prometheus::{Registry, TextEncoder};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::server::{another_client, namespace, until};

/// What outlives operators: the server, the workers, the api, and storage.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) workers: Arc<SaidWorkers>,
    media: tempfile::TempDir,
    pub(crate) nodes: Nodes,
    pub(crate) kubelet: JoinHandle<()>,
    /// Of the operators from now on.
    pub(crate) moves_per_minute: u32,
}

/// Two nodes of a test's own, by the name of its namespace.
#[derive(Clone)]
pub(crate) struct Nodes {
    api: Api<Node>,
    pub(crate) names: [String; 2],
}

impl Nodes {
    pub(crate) async fn new(client: Client, namespace: &str) -> Self {
        let nodes =
            Self { api: Api::all(client), names: [format!("{namespace}-a"), format!("{namespace}-b")] };
        for name in &nodes.names {
            let node = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
            nodes.api.create(&PostParams::default(), &node).await.unwrap();
        }
        nodes
    }

    /// The first one that takes pods.
    async fn open(&self) -> Option<String> {
        for name in &self.names {
            let node = self.api.get(name).await.ok()?;
            if node.spec.is_none_or(|spec| spec.unschedulable != Some(true)) {
                return Some(name.clone());
            }
        }
        None
    }

    pub(crate) async fn cordon(&self, name: &str, cordoned: bool) {
        let spec = json!({ "spec": { "unschedulable": cordoned } });
        self.api.patch(name, &PatchParams::default(), &Patch::Merge(spec)).await.unwrap();
    }
}

/// Workers as far as an operator hears them.
#[derive(Default)]
pub(crate) struct SaidWorkers {
    /// Who has which epoch of which stream.
    owners: Mutex<HashMap<(StreamId, Epoch), WorkerId>>,
    ended: Mutex<HashMap<WorkerId, CancellationToken>>,
    reports: Mutex<Vec<String>>,
    /// The api is away.
    pub(crate) unheard: AtomicBool,
    /// Epochs that were assigned to a second worker.
    pub(crate) twins: Mutex<Vec<(StreamId, Epoch)>>,
}

/// On a runtime of its own, which takes everything that it has begun with it.
pub(crate) struct Operator {
    /// What it counts.
    registry: Registry,
    runtime: Runtime,
    running: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl World {
    pub(crate) async fn new() -> Option<Self> {
        Self::with_room_for(4).await
    }

    pub(crate) async fn with_room_for(workers: u32) -> Option<Self> {
        let (client, namespace) = namespace().await?;
        let pool = json!({
            "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "default" },
            "spec": { "maxWorkers": workers, "moveSurge": 1, "warm": { "min": 1, "percentOfLive": 0, "max": 1 } },
        });
        let pools: Api<WorkerPool> = Api::namespaced(client.clone(), &namespace);
        pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
        let workers = Arc::<SaidWorkers>::default();
        let nodes = Nodes::new(client.clone(), &namespace).await;
        let pods = Api::namespaced(client.clone(), &namespace);
        let kubelet = tokio::spawn(kubelet(pods, nodes.clone(), Arc::clone(&workers)));
        let (media, moves_per_minute) = (tempfile::tempdir().unwrap(), 0);
        Some(Self { client, namespace, workers, media, nodes, kubelet, moves_per_minute })
    }

    pub(crate) async fn operator(&self, name: &str) -> Operator {
        self.operator_with(name, another_client().await, Term::default())
    }

    pub(crate) fn operator_with(&self, name: &str, client: Client, term: Term) -> Operator {
        let registry = Registry::new();
        let config = Config {
            client,
            identity: name.to_owned(),
            term,
            pods: pod_settings(&self.namespace),
            pool: "default".to_owned(),
            drain_moves: 3,
            moves_per_minute: self.moves_per_minute,
            media: SegmentStore::folder(self.media.path()).unwrap(),
            link: self.workers.clone(),
            sessions: None,
            api: self.workers.clone(),
            assignments: SigningKey::from_bytes(&[9; 32]).into(),
            router_key: RoleKey::new([1; 32]).into(),
            feed_key: RoleKey::new([2; 32]).into(),
            edge: Some("https://example.org".to_owned()),
            registry: registry.clone(),
            traces: caudal_traces::Traces::off(),
            readiness: caudal_service::health::Readiness::default(),
        };
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let running =
            runtime.spawn(async move { Box::pin(caudal_operator::run(config, stop)).await.unwrap() });
        Operator { registry, runtime, running, shutdown }
    }

    pub(crate) async fn until_stream(
        &self,
        stream: StreamId,
        what: &str,
        so: impl Fn(&LiveStream) -> bool,
    ) -> LiveStream {
        let api: Api<LiveStream> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = names::live_stream(stream);
        until(what, async || api.get_opt(&name).await.unwrap().filter(&so)).await
    }

    pub(crate) async fn until_live(&self, stream: StreamId, epoch: u32) -> WorkerId {
        let what = format!("live under epoch {epoch}");
        let live = |resource: &LiveStream| {
            resource.status.as_ref().is_some_and(|status| {
                status.phase == Phase::Live && status.epoch == Epoch(epoch) && status.worker.is_some()
            })
        };
        self.until_stream(stream, &what, live).await.status.unwrap().worker.unwrap().id
    }

    /// Waits until the pool's condition `Draining` says so.
    pub(crate) async fn until_draining(&self, status: &str, words: &str) {
        let pools: Api<WorkerPool> = Api::namespaced(self.client.clone(), &self.namespace);
        until(words, async || {
            let conditions = pools.get("default").await.unwrap().status?.conditions;
            let draining = conditions.into_iter().find(|condition| condition.type_ == "Draining")?;
            (draining.status == status && draining.message.contains(words)).then_some(())
        })
        .await;
    }

    /// The node that a worker's pod is on.
    pub(crate) async fn node_of(&self, worker: WorkerId) -> Option<String> {
        let pods = self.pods().list(&ListParams::default()).await.unwrap();
        let pod = pods.into_iter().find(|pod| pod.uid() == Some(worker.to_string()))?;
        pod.spec?.node_name
    }

    /// The Events so far.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        events.list(&ListParams::default()).await.unwrap().items
    }

    /// The reasons of the Events so far.
    pub(crate) async fn told(&self) -> Vec<String> {
        self.events().await.into_iter().filter_map(|event| event.reason).collect()
    }

    /// What the Events of a reason say so far.
    pub(crate) async fn notes(&self, reason: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let told = events.list(&ListParams::default()).await.unwrap();
        let of_it = told.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
        of_it.filter_map(|event| event.message).collect()
    }

    /// Waits until the pool says that so many workers wait.
    pub(crate) async fn until_warm(&self, idle: u32) {
        let pools: Api<WorkerPool> = Api::namespaced(self.client.clone(), &self.namespace);
        until("warm workers", async || {
            let status = pools.get("default").await.unwrap().status?;
            let ready = status.conditions.first().is_some_and(|ready| ready.status == "True");
            (ready && status.idle == idle).then_some(())
        })
        .await;
    }

    /// Whom the lease names.
    pub(crate) async fn leader(&self) -> Option<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        leases.get_opt("caudal-operator").await.unwrap()?.spec?.holder_identity
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

pub(crate) fn pod_settings(namespace: &str) -> PodSettings {
    PodSettings {
        namespace: namespace.to_owned(),
        release: "caudal".to_owned(),
        image: "example.org/caudal:0.1.0".to_owned(),
        pull_secrets: Vec::new(),
        pull_policy: None,
        secret: "caudal-worker".to_owned(),
        storage: Storage::Volume { claim: "caudal-media".to_owned() },
        log_level: None,
        traces: None,
    }
}

impl Operator {
    /// What a line of its metrics says; none where there is no such line.
    pub(crate) fn says(&self, line: &str) -> Option<f64> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    /// What it counts, also once it has ended.
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Waits until it says so.
    pub(crate) async fn until_it_says(&self, line: &str, value: f64) {
        until(line, async || (self.says(line) == Some(value)).then_some(())).await;
    }

    /// As SIGKILL: the lease stays as it is.
    pub(crate) fn kill(self) {
        self.runtime.shutdown_background();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
        self.runtime.shutdown_background();
    }
}

/// Says of each pod that it runs, on the first of the test's nodes that is not cordoned, and of each that was deleted that its process has
/// ended.
async fn kubelet(pods: Api<Pod>, nodes: Nodes, workers: Arc<SaidWorkers>) {
    loop {
        let node = nodes.open().await;
        for pod in pods.list(&ListParams::default()).await.into_iter().flatten() {
            let name = pod.name_any();
            if pod.metadata.deletion_timestamp.is_some() {
                workers.end(pod.uid().unwrap().parse().unwrap());
                let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
            } else if pod.spec.is_some_and(|spec| spec.node_name.is_none()) {
                if let Some(node) = &node {
                    bind(&pods, &name, node).await;
                }
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

/// What the scheduler does.
async fn bind(pods: &Api<Pod>, name: &str, node: &str) {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
        "target": { "apiVersion": "v1", "kind": "Node", "name": node },
    });
    let params = PostParams::default();
    let _ = pods.create_subresource::<_, Status>("binding", name, &params, &binding).await;
}

impl SaidWorkers {
    pub(crate) fn end(&self, worker: WorkerId) {
        self.life(worker).cancel();
    }

    fn life(&self, worker: WorkerId) -> CancellationToken {
        self.ended.lock().unwrap().entry(worker).or_default().clone()
    }

    pub(crate) fn reports(&self) -> Vec<String> {
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
        if owner != worker.worker {
            self.twins.lock().unwrap().push(place);
        }
        if assignment.mode == AssignmentMode::Finish {
            // It has nothing to write, and says so.
            self.end(worker.worker);
        }
        Box::pin(async { Ok(()) })
    }

    fn key<'a>(
        &'a self,
        _worker: &'a WorkerAddress,
    ) -> BoxFuture<'a, Result<Option<SealingPublicKey>, NotAssigned>> {
        Box::pin(async { Ok(None) })
    }

    fn renew<'a>(
        &'a self,
        _worker: &'a WorkerAddress,
        _renewal: &'a SignedRenewal,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        unreachable!("its credentials are its own")
    }

    fn follow<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        _proof: &'a Proof,
    ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>> {
        let ended = self.life(worker.worker);
        // Each epoch announces something new.
        let epoch = self
            .owners
            .lock()
            .unwrap()
            .iter()
            .find(|(_, owner)| **owner == worker.worker)
            .map(|(of, _)| of.1);
        let msn = Msn(6 + u64::from(epoch.unwrap_or_default().0));
        Box::pin(async move {
            if ended.is_cancelled() {
                return Err(LinkLost("it has ended".to_owned()));
            }
            let words: Box<dyn Announcements> = Box::new(Words { ended, msn, said: 0 });
            Ok(words)
        })
    }
}

/// A publisher that is there, a segment, and heartbeats.
struct Words {
    ended: CancellationToken,
    msn: Msn,
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
                    msn: self.msn,
                    discontinuity: 0,
                    media_end: MediaTime(0),
                    epoch: None,
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
        if self.unheard.load(Ordering::Relaxed) {
            return Box::pin(async { Err(NotAcknowledged("it is away".to_owned())) });
        }
        self.reports.lock().unwrap().push(line);
        Box::pin(async { Ok(()) })
    }
}
