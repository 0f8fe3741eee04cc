//! The directory of a cluster against a real API server, one that was started for these tests (`scripts/with-kubernetes.sh`).

#![allow(clippy::panic, clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::{
    KubernetesDirectory, OpenError, Reader, ReconnectError, StreamControl as _, StreamDirectory as _,
};
use caudal_kubernetes::throw_away_server::{config, namespace, until};
use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::fixtures::{ingest, spec};
use caudal_livestream::record::{DesiredState, MediaInfo, RelayFailures, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, Generation, StreamId, UnixMillis};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

struct Cluster {
    client: Client,
    namespace: String,
    streams: Api<LiveStream>,
}

impl Cluster {
    /// With one pool of `workers`.
    async fn with_pool(workers: u32) -> Option<Self> {
        let (client, namespace) = namespace().await?;
        let pool = json!({ "metadata": { "name": "default" }, "spec": { "maxWorkers": workers, "warm": { "min": 0, "max": 0 } } });
        let pools: Api<WorkerPool> = Api::namespaced(client.clone(), &namespace);
        pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
        Some(Self { streams: Api::namespaced(client.clone(), &namespace), client, namespace })
    }

    async fn as_role(&self, reader: Reader) -> Arc<KubernetesDirectory> {
        let directory = KubernetesDirectory::start(self.client.clone(), &self.namespace, reader);
        directory.read_once().await;
        directory
    }

    async fn resource(&self, stream: StreamId) -> Option<Value> {
        let found = self.streams.get_opt(&names::live_stream(stream)).await.unwrap()?;
        Some(serde_json::to_value(found).unwrap())
    }

    /// What an operator would write.
    /// As an operator of another release shows it, whose own record nobody here can read.
    async fn status(&self, stream: StreamId, mut status: Value) {
        status.as_object_mut().unwrap().insert("lifecycle".to_owned(), json!({ "version": 9 }));
        let patch = Patch::Merge(json!({ "status": status }));
        let name = names::live_stream(stream);
        self.streams.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn delete(&self, stream: StreamId) {
        let name = names::live_stream(stream);
        let unheld = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        self.streams.patch(&name, &PatchParams::default(), &unheld).await.unwrap();
        self.streams.delete(&name, &DeleteParams::default()).await.unwrap();
    }
}

async fn knows(directory: &KubernetesDirectory, stream: StreamId) {
    let mut streams = directory.watch();
    let known = streams.wait_for(|streams| streams.contains_key(&stream));
    timeout(Duration::from_secs(20), known).await.unwrap().unwrap();
}

#[tokio::test]
async fn two_routers_on_one_stream_agree_and_a_takeover_has_one_winner() {
    let Some(cluster) = Cluster::with_pool(9).await else { return };
    let (one, other) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Router).await);
    let edge = cluster.as_role(Reader::Edge).await;
    for _ in 0..5 {
        let wanted = spec();
        let stream = wanted.stream;
        let rival = Spec { ingest: ingest(1), ..wanted.clone() };
        let opened = tokio::join!(one.open(wanted), other.open(rival));
        let (first, second) = match opened {
            (Ok(record), Err(OpenError::Exists(found))) | (Err(OpenError::Exists(found)), Ok(record)) => {
                (record, found)
            }
            outcome => panic!("{outcome:?}"),
        };
        assert_eq!(first.spec.ingest, second.spec.ingest);
        let reconnected = tokio::join!(one.reconnect(stream, ingest(2)), other.reconnect(stream, ingest(2)));
        match reconnected {
            (Ok(_), Err(ReconnectError::Stale(Generation(2))))
            | (Err(ReconnectError::Stale(Generation(2))), Ok(_)) => {}
            outcome => panic!("{outcome:?}"),
        }
        knows(&edge, stream).await;
        cluster.delete(stream).await;
    }
}

#[tokio::test]
async fn a_router_that_knows_a_stream_still_does_not_make_it_again_once_it_was_deleted() {
    let Some(cluster) = Cluster::with_pool(9).await else { return };
    let router = cluster.as_role(Reader::Router).await;
    let record = router.open(spec()).await.unwrap();
    let (stream, session) = (record.spec.stream, record.spec.ingest.session);
    // Its copy stays as it is now.
    router.close().await;
    cluster.delete(stream).await;
    let failures = RelayFailures {
        epoch: Epoch(1),
        session,
        failures: 1,
        last_failed_at: UnixMillis(1_800_000_000_000),
    };
    router.worker_unreachable(stream, failures).await;
    assert_eq!(cluster.resource(stream).await, None);
    router.report_media(stream, session, MediaInfo::default()).await;
    let reconnected = router.reconnect(stream, ingest(2)).await;
    assert!(matches!(reconnected, Err(ReconnectError::Unknown)), "{reconnected:?}");
    assert_eq!(cluster.resource(stream).await, None);
    // Another stream of the same name is not the one that it knew.
    let again = cluster.as_role(Reader::Router).await;
    let other = Spec { stream, ingest: ingest(7), ..spec() };
    again.open(other.clone()).await.unwrap();
    router.worker_unreachable(stream, failures).await;
    assert_eq!(again.get(stream).unwrap().spec.ingest, other.ingest);
}

#[tokio::test]
async fn a_routers_word_of_its_publisher_leaves_what_others_wrote() {
    let Some(cluster) = Cluster::with_pool(9).await else { return };
    let (router, api) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Api).await);
    let record = router.open(spec()).await.unwrap();
    let (stream, session) = (record.spec.stream, record.spec.ingest.session);
    cluster.status(stream, json!({ "phase": "Starting", "epoch": 1, "reason": "waiting" })).await;
    let media = MediaInfo { bitrate: 6_000_000, width: Some(1920), ..MediaInfo::default() };
    router.report_media(stream, session, media).await;
    let later = MediaInfo { bitrate: 3_000_000, ..MediaInfo::default() };
    router.report_media(stream, session, later.clone()).await;
    let failures = |count| RelayFailures {
        epoch: Epoch(1),
        session,
        failures: count,
        last_failed_at: UnixMillis(1_800_000_000_000),
    };
    for count in [1, 2, 3] {
        router.worker_unreachable(stream, failures(count)).await;
    }
    api.drop_publisher(stream, "enough".to_owned()).await.unwrap();
    let found = router.get(stream).unwrap();
    assert_eq!(found.spec.ingest.relay, Some(failures(3)));
    assert_eq!(found.status.media, Some(later), "the width of before has gone");
    assert_eq!(found.status.reason.as_deref(), Some("waiting"));
    // The next publisher begins without the last one's failures, and the order to drop that one stays that one's.
    let next = ingest(2);
    let reconnected = router.reconnect(stream, next.clone()).await.unwrap();
    assert_eq!(reconnected.spec.ingest, next);
    assert_eq!(reconnected.spec.drop.as_ref().unwrap().session, session);
    let resource = cluster.resource(stream).await.unwrap();
    assert_eq!(resource["spec"]["ingest"].get("relay"), None);
    let managers = resource["metadata"]["managedFields"].as_array().unwrap().clone();
    let applied = managers.iter().find(|entry| {
        entry["manager"] == "ingest-router" && entry["operation"] == "Apply" && entry["subresource"].is_null()
    });
    assert_eq!(applied.unwrap()["fieldsV1"].as_object().unwrap().keys().collect::<Vec<_>>(), ["f:spec"]);
}

#[tokio::test]
async fn what_the_api_wants_stands_in_the_resource_in_every_phase() {
    let Some(cluster) = Cluster::with_pool(9).await else { return };
    let (router, api) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Api).await);
    let stream = router.open(spec()).await.unwrap().spec.stream;
    for _ in 0..2 {
        api.revoke_key(stream).await.unwrap();
        api.drop_publisher(stream, "enough".to_owned()).await.unwrap();
        api.end(stream, EndReason::EndedByOwner).await.unwrap();
    }
    let found = api.inspect(stream).unwrap();
    assert!(found.spec.key_revoked && found.spec.desired_state == DesiredState::Ended);
    assert!(matches!(router.reconnect(stream, ingest(2)).await, Err(ReconnectError::Over(_))));
    for phase in ["Ending", "Ended", "Failed"] {
        cluster.status(stream, json!({ "phase": phase })).await;
        api.end(stream, EndReason::KeyRotated).await.unwrap();
        api.revoke_key(stream).await.unwrap();
        api.drop_publisher(stream, "enough".to_owned()).await.unwrap();
    }
    let never = spec();
    api.end(never.stream, EndReason::KeyRotated).await.unwrap();
    api.end(never.stream, EndReason::KeyRotated).await.unwrap();
    let resource = cluster.resource(never.stream).await.unwrap();
    assert_eq!(resource["spec"]["endReason"], "key_rotated");
    assert!(!api.is_missing(never.stream) && !api.is_certainly_missing(never.stream).await);
    match router.open(never).await.unwrap_err() {
        OpenError::Exists(record) => assert!(record.status.phase.is_over()),
        error => panic!("{error}"),
    }
    assert!(api.is_certainly_missing(StreamId::generate()).await);
}

#[tokio::test]
async fn a_router_lets_in_as_many_as_the_pool_has_workers() {
    let Some(cluster) = Cluster::with_pool(2).await else { return };
    let (one, other) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Router).await);
    let first = one.open(spec()).await.unwrap().spec.stream;
    let second = other.open(spec()).await.unwrap().spec.stream;
    knows(&one, second).await;
    knows(&other, first).await;
    until("the pools to be read", async || {
        matches!(one.open(spec()).await, Err(OpenError::NoCapacity)).then_some(())
    })
    .await;
    assert!(matches!(other.open(spec()).await, Err(OpenError::NoCapacity)));
}

/// The way to the API server, which can be cut off.
struct Way {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Way {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = watch::Sender::new(true);
        let closed = open.subscribe();
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (server, mut closed) = (server.clone(), closed.clone());
                tokio::spawn(async move {
                    if !*closed.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect(&server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = closed.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, open }
    }
}

#[tokio::test]
async fn an_api_server_that_goes_and_comes_back_is_followed_again() {
    let Some(cluster) = Cluster::with_pool(9).await else { return };
    let kubeconfig = std::env::var_os("KUBECONFIG").unwrap();
    let mut config = config(Path::new(&kubeconfig)).await;
    let way = Way::to(config.cluster_url.authority().unwrap().to_string()).await;
    config.cluster_url = format!("https://{}", way.address).parse().unwrap();
    let client = Client::try_from(config).unwrap();
    let directory = |reader| KubernetesDirectory::start(client.clone(), &cluster.namespace, reader);
    let (router, api) = (directory(Reader::Router), directory(Reader::Api));
    router.read_once().await;
    api.read_once().await;
    let stream = router.open(spec()).await.unwrap().spec.stream;
    let gone = router.open(spec()).await.unwrap().spec.stream;
    knows(&api, gone).await;

    way.open.send_replace(false);
    assert!(!router.follows(true).await && !api.follows(true).await);
    assert!(!api.is_missing(StreamId::generate()) && !api.is_certainly_missing(StreamId::generate()).await);
    assert!(matches!(router.open(spec()).await, Err(OpenError::Unavailable(_))));
    assert!(api.end(stream, EndReason::EndedByOwner).await.is_err());
    assert!(router.get(stream).is_some() && api.inspect(gone).is_some(), "the last copy stays");
    cluster.delete(gone).await;
    let opened = cluster.as_role(Reader::Router).await.open(spec()).await.unwrap().spec.stream;

    way.open.send_replace(true);
    assert!(router.follows(false).await && api.follows(false).await);
    knows(&router, opened).await;
    until("a deletion of meanwhile", async || api.inspect(gone).is_none().then_some(())).await;
    api.end(stream, EndReason::EndedByOwner).await.unwrap();
}
