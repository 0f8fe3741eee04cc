//! An operator's workers, with the cluster and the network around them.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use caudal_controller::WallClock;
use caudal_kubernetes::fake_server::FakeServer;
use caudal_kubernetes::watching::News;
use caudal_livestream::WorkerId;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::build::tests::{pool, settings};
use crate::server_clock::TermClock;

pub(super) const KIND: &str = "pods";
pub(super) const OWNER: &str = "00000000-0000-4000-8000-000000000002";

/// The addresses that take connections, and those that were asked. All others say nothing.
#[derive(Clone, Default)]
pub(super) struct Hosts(pub(super) Arc<Mutex<(HashSet<IpAddr>, Vec<IpAddr>)>>);

impl Hosts {
    pub(super) fn begin(&self, address: &str) {
        self.0.lock().unwrap().0.insert(address.parse().unwrap());
    }

    pub(super) fn asked(&self) -> Vec<IpAddr> {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }

    pub(super) fn network(&self) -> Network {
        let hosts = self.clone();
        Network::of(move |to: SocketAddr| {
            let mut hosts = hosts.0.lock().unwrap();
            hosts.1.push(to.ip());
            if hosts.0.contains(&to.ip()) {
                Box::pin(std::future::ready(true))
            } else {
                Box::pin(std::future::pending())
            }
        })
    }
}

/// An operator, and the cluster around it.
pub(super) struct World {
    pub(super) server: FakeServer,
    pub(super) workers: PodWorkers,
    pub(super) metrics: Metrics,
    pub(super) pods: Pods,
    pub(super) pools: Pools,
    pub(super) owned: Owned,
    pub(super) hosts: Hosts,
    /// How many pods there may be.
    room: u32,
    pub(super) stream: StreamId,
    following: Vec<JoinHandle<()>>,
}

pub(super) fn metrics() -> Metrics {
    Metrics::register(&prometheus::Registry::new()).unwrap()
}

/// Whoever asks for a worker is open until it is over, and has one unless it has lost it.
#[derive(Clone, Default)]
pub(super) struct Owned(
    Arc<Mutex<HashMap<StreamId, Progress>>>,
    Arc<Mutex<HashSet<StreamId>>>,
    Arc<Mutex<HashMap<StreamId, Vec<Rung>>>>,
);

impl Owned {
    pub(super) fn over(&self, stream: StreamId) {
        self.0.lock().unwrap().remove(&stream);
    }

    pub(super) fn began_with(&self, stream: StreamId, renditions: Vec<Rung>) {
        self.2.lock().unwrap().insert(stream, renditions);
    }

    pub(super) fn lose_worker(&self, stream: StreamId) {
        self.1.lock().unwrap().insert(stream);
    }

    pub(super) fn has_one(&self, stream: StreamId) {
        self.1.lock().unwrap().remove(&stream);
    }
}

impl Owners for Owned {
    fn uid(&self, stream: StreamId) -> Option<String> {
        self.0.lock().unwrap().entry(stream).or_insert(Progress::New);
        Some(OWNER.to_owned())
    }

    fn pool(&self, _stream: StreamId) -> Option<String> {
        None
    }

    fn renditions(&self, stream: StreamId) -> Vec<Rung> {
        self.2.lock().unwrap().get(&stream).cloned().unwrap_or_default()
    }

    fn open(&self, _pools: &[&str]) -> HashMap<StreamId, Progress> {
        self.0.lock().unwrap().clone()
    }

    fn has_worker(&self, stream: StreamId) -> bool {
        !self.1.lock().unwrap().contains(&stream)
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_room_for(2)
    }

    pub(super) fn with_room_for(room: u32) -> Self {
        let server = FakeServer::new();
        let (metrics, hosts) = (metrics(), Hosts::default());
        let owned = Owned::default();
        let (workers, pods, pools, following) =
            Self::operator(&server, &hosts, room, &owned, metrics.clone());
        let (stream, following) = (StreamId::generate(), vec![following]);
        Self { server, workers, metrics, pods, pools, owned, hosts, room, stream, following }
    }

    /// One whose stream names a pool that nobody has made.
    pub(super) fn of_no_pool() -> Self {
        let mut world = Self::new();
        let (network, owned, pools) = (world.hosts.network(), Arc::new(Owned::default()), Pools::default());
        let (client, pods) = (world.server.client(), world.pods.clone());
        let metrics = world.metrics.clone();
        world.workers = PodWorkers::over(network, client, pods, pools, owned, settings(), metrics);
        world
    }

    fn operator(
        server: &FakeServer,
        hosts: &Hosts,
        room: u32,
        owned: &Owned,
        metrics: Metrics,
    ) -> (PodWorkers, Pods, Pools, JoinHandle<()>) {
        let (pods, pools) = (Pods::default(), Pools::default());
        take_pool(&pools, room - 1, 1);
        let (network, owners) = (hosts.network(), Arc::new(owned.clone()));
        let workers = PodWorkers::over(
            network,
            server.client(),
            pods.clone(),
            pools.clone(),
            owners,
            settings(),
            metrics,
        );
        let (client, followed) = (server.client(), pods.clone());
        let following = tokio::spawn(async move { followed.follow(client, "caudal").await });
        (workers, pods, pools, following)
    }

    /// Another operator takes over.
    pub(super) fn restart(&mut self) {
        for following in self.following.drain(..) {
            following.abort();
        }
        let (workers, pods, pools, following) =
            Self::operator(&self.server, &self.hosts, self.room, &self.owned, self.metrics.clone());
        (self.workers, self.pods, self.pools) = (workers, pods, pools);
        self.following.push(following);
    }

    /// From now on it is as late as the time says that goes by; everything is created now.
    pub(super) fn begin_term(&self) {
        let now: Timestamp = caudal_kubernetes::fake_server::TIME.parse().unwrap();
        let (now, begun) = (SystemTime::from(now), Instant::now());
        let wall: WallClock = Arc::new(move || now + begun.elapsed());
        self.pods.begin_term(TermClock::start(&wall));
    }

    /// A warm pod that listens.
    pub(super) fn warm(&self, place: u32) -> WorkerId {
        self.warm_of(&pool(caudal_kubernetes::worker_pool::Template::default()), place)
    }

    /// The same of a pool as it is, or was.
    pub(super) fn warm_of(&self, pool: &WorkerPool, place: u32) -> WorkerId {
        let built = build::warm(pool, place, &settings());
        let mut pod = serde_json::to_value(built).unwrap();
        listen(&mut pod);
        self.hosts.begin("10.1.2.4");
        worker_of(&self.server.create(KIND, pod))
    }

    /// One on a node, which listens if it has the address of the others.
    pub(super) fn warm_on(&self, node: &str, place: u32, address: &str) -> WorkerId {
        let worker = self.warm(place);
        self.server.change(KIND, &caudal_kubernetes::names::warm_pod("default", place), |pod| {
            (pod["spec"]["nodeName"], pod["status"]["podIP"]) = (json!(node), json!(address));
        });
        worker
    }

    pub(super) async fn claim(&self, epoch: u32) -> Result<WorkerAddress, ClaimError> {
        Ok(self.workers.claim(self.stream, Epoch(epoch), &Pool::default()).await?.worker)
    }

    pub(super) fn pod(&self, name: &str) -> Option<Value> {
        self.server.get(KIND, name)
    }

    pub(super) fn cold_name(&self, epoch: u32) -> String {
        caudal_kubernetes::names::cold_pod(self.stream, Epoch(epoch))
    }

    /// Lets every cold pod listen once it is there.
    pub(super) async fn run(&self, name: &str) {
        while self.pod(name).is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        self.server.change(KIND, name, listen);
    }
}

/// A pool as it is from now on.
pub(super) fn take_pool(pools: &Pools, most: u32, surge: u32) {
    let mut pool = pool(caudal_kubernetes::worker_pool::Template::default());
    (pool.spec.max_workers, pool.spec.move_surge) = (most, surge);
    pools.take(News::Is(Box::new(pool)));
}

fn listen(pod: &mut Value) {
    pod["status"] = json!({ "phase": "Running", "podIP": "10.1.2.4", "conditions": [{ "type": "Ready", "status": "True" }] });
}

pub(super) fn worker_of(pod: &Value) -> WorkerId {
    pod["metadata"]["uid"].as_str().unwrap().parse().unwrap()
}
