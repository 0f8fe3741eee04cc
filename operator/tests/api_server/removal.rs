//! What becomes of broadcasts when the platform, or its namespace, is removed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use caudal_kubernetes::fake_server::{FakeServer, TIME, Trouble};
use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::record::Phase;
use caudal_livestream::report::EndReason;
use caudal_operator::Term;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::records::open;
use crate::server::until;
use crate::world::World;

async fn uninstall(world: &World, wait: u64) -> String {
    let said = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&said);
    let tell = move |line| lines.lock().unwrap().push(line);
    let wait = Duration::from_secs(wait);
    caudal_operator::uninstall(&world.client, &world.namespace, wait, &CancellationToken::new(), tell)
        .await
        .unwrap();
    let said = said.lock().unwrap();
    said.join("\n")
}

fn streams(world: &World) -> Api<LiveStream> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

#[tokio::test]
async fn an_uninstall_ends_what_is_live_by_the_operator_that_still_runs() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let stream = open(world.client.clone(), &world.namespace).await;
    world.until_live(stream, 1).await;
    let said = uninstall(&world, 60).await;
    assert!(said.ends_with("broadcasts ended: 1; still open: 0"), "{said}");
    let ended = streams(&world).get(&names::live_stream(stream)).await.unwrap();
    assert_eq!(ended.spec.end_reason, Some(EndReason::Shutdown));
    assert_eq!(ended.status.as_ref().unwrap().phase, Phase::Ended);
    assert!(ended.finalizers().is_empty());
    let pools: Api<WorkerPool> = Api::namespaced(world.client.clone(), &world.namespace);
    assert_eq!(pools.get("default").await.unwrap().spec.max_workers, 0);
    until("no worker", async || {
        world.pods().list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn an_uninstall_without_an_operator_leaves_nothing_that_holds_or_runs() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let stream = open(world.client.clone(), &world.namespace).await;
    world.until_live(stream, 1).await;
    operator.kill();
    let said = uninstall(&world, 2).await;
    assert!(said.contains(&format!("s-{stream}: let go of")), "{said}");
    // Neither one of it nor one that waits.
    until("no worker", async || {
        world.pods().list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    streams(&world).delete(&names::live_stream(stream), &DeleteParams::default()).await.unwrap();
    assert!(streams(&world).get_opt(&names::live_stream(stream)).await.unwrap().is_none());
    world.kubelet.abort();
}

#[tokio::test]
async fn a_namespace_with_a_live_broadcast_goes_while_its_operator_leads() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let stream = open(world.client.clone(), &world.namespace).await;
    world.until_live(stream, 1).await;
    // The api is deleted too, and acknowledges nothing.
    world.workers.unheard.store(true, Ordering::Relaxed);
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    // Nobody tells the operator to end: before Kubernetes 1.33 its pod may be the last to go.
    until("no namespace", async || {
        namespaces.get_opt(&world.namespace).await.unwrap().is_none().then_some(())
    })
    .await;
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn a_broadcast_that_is_deleted_before_an_operator_has_seen_it_says_so_and_is_reported() {
    let Some(world) = World::new().await else { return };
    world.workers.unheard.store(true, Ordering::Relaxed);
    let stream = open(world.client.clone(), &world.namespace).await;
    let name = names::live_stream(stream);
    let hold = json!({ "metadata": { "finalizers": [names::END_FINALIZER] } });
    streams(&world).patch(&name, &PatchParams::default(), &Patch::Merge(&hold)).await.unwrap();
    // What an administrator writes by hand is no end: `done` would never be told.
    let by_hand = json!({ "status": { "phase": "Ended" } });
    streams(&world).patch_status(&name, &PatchParams::default(), &Patch::Merge(&by_hand)).await.unwrap();
    streams(&world).delete(&name, &DeleteParams::default()).await.unwrap();
    let operator = world.operator("one").await;
    let ended = world
        .until_stream(stream, "its end, while the api is away", |resource| {
            resource.status.as_ref().is_some_and(|status| status.lifecycle.is_some())
        })
        .await;
    let status = ended.status.unwrap();
    assert_eq!((status.phase, status.end_reason), (Phase::Ended, Some(EndReason::EndedByOwner)));
    until("an Event", async || world.told().await.contains(&"Ended".to_owned()).then_some(())).await;
    world.workers.unheard.store(false, Ordering::Relaxed);
    until("its report", async || world.workers.reports().contains(&format!("done {stream}")).then_some(()))
        .await;
    until("gone", async || streams(&world).get_opt(&name).await.unwrap().is_none().then_some(())).await;
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn a_pool_that_a_killed_uninstall_has_left_closed_is_opened_by_the_operator() {
    let Some(world) = World::new().await else { return };
    let pools: Api<WorkerPool> = Api::namespaced(world.client.clone(), &world.namespace);
    let before = pools.get("default").await.unwrap().spec;
    let stream = open(world.client.clone(), &world.namespace).await;
    // As by SIGKILL, in the middle of its wait: no operator runs that could end the stream.
    let closed = until("closed", async || {
        let pool = pools.get("default").await.unwrap();
        (pool.spec.max_workers == 0).then_some(())
    });
    tokio::select! {
        _ = uninstall(&world, 60) => panic!("a stream was open"),
        () = closed => {}
    }
    streams(&world).delete(&names::live_stream(stream), &DeleteParams::default()).await.unwrap();
    let operator = world.operator("one").await;
    until("the operator leads", async || world.leader().await).await;
    // It may be under way still, as far as anybody knows; until that time is over.
    let closed = pools.get("default").await.unwrap();
    assert_eq!(closed.spec.max_workers, 0);
    let mut memory: serde_json::Value =
        serde_json::from_str(&closed.annotations()[names::CLOSED_ANNOTATION]).unwrap();
    memory["until"] = json!("2026-01-01T00:00:00Z");
    let over = json!({ "metadata": { "annotations": { names::CLOSED_ANNOTATION: memory.to_string() } } });
    pools.patch("default", &PatchParams::default(), &Patch::Merge(&over)).await.unwrap();
    let open = until("open", async || {
        let pool = pools.get("default").await.unwrap();
        (pool.spec.max_workers > 0).then_some(pool)
    })
    .await;
    assert_eq!(open.spec, before);
    assert!(!open.annotations().contains_key(names::CLOSED_ANNOTATION));
    world.until_warm(1).await;
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn a_broadcast_that_is_removed_by_force_is_told_of_and_its_worker_ends() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let stream = open(world.client.clone(), &world.namespace).await;
    world.until_live(stream, 1).await;
    let name = names::live_stream(stream);
    // So that nothing waits for the end: deleted in the moment in which the finalizer goes.
    let force = json!({ "metadata": { "finalizers": null } });
    until("gone", async || {
        streams(&world).patch(&name, &PatchParams::default(), &Patch::Merge(&force)).await.ok()?;
        let _ = streams(&world).delete(&name, &DeleteParams::default()).await;
        let left = streams(&world).get_opt(&name).await.unwrap();
        left.is_none().then_some(())
    })
    .await;
    until("the words for it", async || world.told().await.contains(&"Removed".to_owned()).then_some(()))
        .await;
    until("no worker of it", async || {
        let claimed = ListParams::default().labels(&format!("{}={stream}", names::STREAM_LABEL));
        world.pods().list(&claimed).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn an_operator_that_knows_of_no_pod_yet_ends_at_once_and_lets_go_where_its_namespace_goes() {
    let Some(world) = World::new().await else { return };
    // Of its namespace, this server knows that it is being deleted, and does not list a pod.
    let server = FakeServer::new();
    for _ in 0..100 {
        server.trouble("GET pods", Trouble::Silence);
    }
    let leaving = json!({ "name": world.namespace, "deletionTimestamp": TIME });
    server.create("namespaces", json!({ "metadata": leaving }));
    let stream = json!({ "metadata": { "name": "s-any", "finalizers": [names::END_FINALIZER] } });
    server.create("livestreams", stream);
    let operator = world.operator_with("one", server.client(), Term::default());
    until("it asks for pods", async || (server.reads("GET pods") > 0).then_some(())).await;
    let begun = Instant::now();
    operator.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let held = server.get("livestreams", "s-any").unwrap();
    assert_eq!(held["metadata"]["finalizers"], json!([]));
    world.kubelet.abort();
}
