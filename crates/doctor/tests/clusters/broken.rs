//! A healthy cluster, and broken ones: what is in them, and the first line that a person reads.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::objects::{
    IMAGE, SESSION, STREAM, WORKER, ago, broadcast, claim, claimed, deployment, idle, lease, log, of_role,
    over, pool, ready, role_pod, unscheduled, waiting, warning, worker,
};

/// A namespace with one fault.
pub struct Cluster {
    /// What is the matter with it.
    pub name: &'static str,
    /// The channel that is asked about; none for the installation.
    pub channel: Option<&'static str>,
    pub objects: Vec<Value>,
    /// By pod.
    pub logs: Vec<(String, String)>,
    pub first_line: String,
}

impl Cluster {
    fn new(name: &'static str, now: Timestamp) -> Self {
        let role = |role: &str| [deployment(role, 1), role_pod(role, &of_role(role, ready()))];
        let mut objects: Vec<_> =
            ["operator", "ingest-router", "api", "hls-edge"].into_iter().flat_map(role).collect();
        objects.extend([
            lease("one", &ago(now, 1)),
            pool(now, 4, 1, 0),
            idle("w-default-0", &ready()),
            claim("Bound"),
        ]);
        Self { name, channel: Some("ann"), objects, logs: Vec::new(), first_line: String::new() }
    }

    fn with(mut self, objects: impl IntoIterator<Item = Value>) -> Self {
        self.objects.extend(objects);
        self
    }

    /// In the place of the one of this kind and name.
    fn but(mut self, object: Value) -> Self {
        self = self.without(object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        self.objects.push(object);
        self
    }

    fn without(mut self, kind: &str, name: &str) -> Self {
        self.objects.retain(|one| one["kind"] != kind || one["metadata"]["name"] != name);
        self
    }

    fn log(mut self, pod: &str, lines: String) -> Self {
        self.logs.push((pod.to_owned(), lines));
        self
    }

    fn of_installation(mut self) -> Self {
        self.channel = None;
        self
    }

    fn says(mut self, first_line: impl Into<String>) -> Self {
        self.first_line = first_line.into();
        self
    }
}

pub fn healthy(now: Timestamp) -> [Cluster; 2] {
    [
        Cluster::new("a broadcast that is live", now)
            .with([broadcast(now, "Live"), claimed(&ready())])
            .says("ann is live, and nothing is wrong."),
        Cluster::new("an installation at rest", now)
            .of_installation()
            .says("All is well: broadcasts can be made and watched (0 now), and nothing is wrong."),
    ]
}

fn clock(now: Timestamp, seconds: i64) -> String {
    let at: Timestamp = ago(now, seconds).parse().unwrap();
    at.strftime("%H:%M:%SZ").to_string()
}

pub fn broken(now: Timestamp) -> Vec<Cluster> {
    let media = "caudal-media";
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "only-edges" },
        "spec": {
            "podSelector": { "matchLabels": { "app.kubernetes.io/component": WORKER } }, "policyTypes": ["Ingress"],
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app.kubernetes.io/component": "hls-edge" } } }] }],
        },
    });
    let mut relayed = broadcast(now, "Starting");
    relayed["spec"]["ingest"]["relay"] =
        json!({ "epoch": 1, "session": SESSION, "failures": 4, "lastFailedAt": ago(now, 2) });
    let mut refused =
        over(now, "Ended", "nothing_playable", "what was sent cannot be played: AV1 is not supported");
    refused["spec"]["ingest"]["refused"] = "AV1 video is not supported; choose H.264 or HEVC".into();
    let mut elsewhere = broadcast(now, "Pending");
    elsewhere["spec"]["pool"] = "gpu".into();
    let mut ladder = broadcast(now, "Pending");
    ladder["spec"]["renditions"] = json!([{ "name": "720p", "height": 720, "bitrate": 2_000_000 }]);
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "team" }, "spec": { "hard": { "pods": "4" } },
        "status": { "hard": { "pods": "4" }, "used": { "pods": "4" } },
    });
    let mut away = broadcast(now, "Reconnecting");
    away["status"]["conditions"] = json!([{ "type": "Ready", "status": "False", "reason": "PublisherAway", "message": "", "lastTransitionTime": ago(now, 30) }]);
    let mut not_admitted = broadcast(now, "Pending");
    let not_made = "pod w-1 is not made: the API server forbids it: violates PodSecurity";
    not_admitted["status"]["reason"] = format!("waiting for a worker: {not_made}").into();
    let without_workers = |cluster: Cluster| cluster.without("Pod", "w-default-0").but(pool(now, 4, 0, 0));
    let no_node = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: true}.";
    vec![
        Cluster::new("a key that is unknown", now)
            .log(
                "caudal-ingest-router-x",
                log(now, "INFO", "publisher refused", &json!({ "peer": "203.0.113.9:50000", "app": "live", "reason": "unknown_key" })).repeat(2),
            )
            .says("ann is not live: in the last 15 minutes routers refused 2 publishers for an unknown stream key (ann may be among them: a refused key belongs to no channel)."),
        Cluster::new("a pool that is full", now)
            .with([over(now, "Failed", "no_capacity", "the platform had no worker for it")])
            .without("Pod", "w-default-0")
            .but(pool(now, 1, 0, 1))
            .says("ann is not live: the pool default is full: 1 of the 1 broadcasts that spec.maxWorkers allows are there."),
        without_workers(Cluster::new("an image that is not there", now))
            .with([
                broadcast(now, "Pending"),
                claimed(&waiting("ImagePullBackOff", "Back-off pulling image")),
                warning(now, ("Pod", &worker()), "Failed", "Failed to pull image: registry.example.org/caudal:0.1.0: not found"),
            ])
            .says(format!("ann is not live: its worker does not run: its image {IMAGE} cannot be pulled (Pod {}).", worker())),
        Cluster::new("a pod that admission refuses", now)
            .with([not_admitted])
            .says(format!("ann is not live: it has waited for a worker since {}: {not_made}.", clock(now, 30))),
        without_workers(Cluster::new("a quota that is used up", now))
            .with([broadcast(now, "Pending"), quota])
            .says("ann is not live: the ResourceQuota team allows no more pods: pods 4 of 4."),
        without_workers(Cluster::new("no node with room", now))
            .with([broadcast(now, "Pending"), claimed(&unscheduled(now, no_node))])
            .says(format!("ann is not live: its worker does not run: no node takes it: {} (Pod {}).", no_node.trim_end_matches('.'), worker())),
        without_workers(Cluster::new("a claim that nobody provides", now))
            .but(claim("Pending"))
            .with([
                broadcast(now, "Pending"),
                idle("w-default-0", &unscheduled(now, "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.")),
                warning(now, ("PersistentVolumeClaim", media), "ProvisioningFailed", "storageclass \"fast\" not found"),
            ])
            .says("ann is not live: no worker comes up: the PersistentVolumeClaim caudal-media is Pending: storageclass \"fast\" not found (Pod w-default-0)."),
        Cluster::new("a volume that is full", now)
            .with([broadcast(now, "Starting"), claimed(&ready())])
            .log(&worker(), log(now, "WARN", "storage fails; segments stay in memory until it works again", &json!({ "error": "No space left on device (os error 28)" })))
            .says("ann is not live: its worker cannot store segments: No space left on device (os error 28)."),
        Cluster::new("a network policy between router and worker", now)
            .with([relayed, claimed(&ready()), policy])
            .says("ann is not live: the router does not reach its worker: the NetworkPolicy only-edges lets nothing in from the router at port 1935."),
        Cluster::new("an image without ffmpeg", now)
            .with([ladder, claimed(&ready())])
            .log(&worker(), log(now, "WARN", "no ffmpeg: streams have their source rendition only, and no poster", &json!({ "program": "ffmpeg", "error": "there is no such program" })))
            .log("caudal-operator-x", log(now, "WARN", "assignment failed", &json!({ "stream": STREAM, "epoch": 1, "reason": "it has no ffmpeg, so the stream would lose its renditions" })))
            .says("ann is not live: its worker has no ffmpeg (there is no such program), so it makes no lower qualities."),
        Cluster::new("an operator that was scaled away", now)
            .without("Pod", "caudal-operator-x")
            .but(deployment("operator", 0))
            .but(lease("", &ago(now, 240)))
            .with([broadcast(now, "Pending")])
            .says("ann is not live: no operator runs: its Deployment caudal-operator is scaled to 0."),
        Cluster::new("operators of which none leads", now)
            .but(lease("one", &ago(now, 240)))
            .with([broadcast(now, "Pending")])
            .says("ann is not live: no operator leads, so nothing is done for any broadcast: one has not renewed its Lease for 240 s."),
        Cluster::new("a publisher that finds no router", now)
            .without("Pod", "caudal-ingest-router-x")
            .but(deployment("ingest-router", 0))
            .with([away, claimed(&ready())])
            .says("ann is not live: no ingest-router runs: its Deployment caudal-ingest-router is scaled to 0."),
        Cluster::new("keys that are gone", now)
            .of_installation()
            .but(role_pod("api", &of_role("api", waiting("CreateContainerConfigError", "secret \"caudal-api\" not found"))))
            .says("Nobody can go live: no api runs: the Secret caudal-api is missing (Pod caudal-api-x)."),
        Cluster::new("a database that is away", now)
            .of_installation()
            .log("caudal-api-x", log(now, "WARN", "PostgreSQL is away from the background; its work is tried again", &json!({ "failed": "bans, viewers", "reason": "pool timed out while waiting for an open connection" })))
            .says("Nobody can go live: the api cannot use PostgreSQL: pool timed out while waiting for an open connection."),
        Cluster::new("a pool that is not there", now)
            .with([elsewhere])
            .says("ann is not live: there is no WorkerPool gpu, which its worker is to come from; there is default."),
        Cluster::new("a publisher that cannot be played", now)
            .with([refused])
            .says("ann is not live: the router turned its publisher away: AV1 video is not supported; choose H.264 or HEVC."),
    ]
}
