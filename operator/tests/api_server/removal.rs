//! What becomes of broadcasts when the platform, or its namespace, is removed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::record::Phase;
use caudal_livestream::report::EndReason;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};

use crate::records::open;
use crate::server::until;
use crate::world::World;

async fn uninstall(world: &World, wait: u64) -> String {
    let said = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&said);
    let tell = move |line| lines.lock().unwrap().push(line);
    let wait = Duration::from_secs(wait);
    caudal_operator::uninstall(&world.client, &world.namespace, wait, tell).await.unwrap();
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
    until("no worker of it", async || {
        let claimed = ListParams::default().labels(&format!("{}={stream}", names::STREAM_LABEL));
        world.pods().list(&claimed).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    streams(&world).delete(&names::live_stream(stream), &DeleteParams::default()).await.unwrap();
    assert!(streams(&world).get_opt(&names::live_stream(stream)).await.unwrap().is_none());
    world.kubelet.abort();
}

#[tokio::test]
async fn a_namespace_with_a_live_broadcast_goes_once_its_operator_is_told_to_end() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let stream = open(world.client.clone(), &world.namespace).await;
    world.until_live(stream, 1).await;
    // The api is deleted too, and acknowledges nothing.
    world.workers.unheard.store(true, Ordering::Relaxed);
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    world.until_stream(stream, "deleted, and held", LiveStream::is_being_deleted).await;
    operator.stop().await;
    until("no namespace", async || {
        namespaces.get_opt(&world.namespace).await.unwrap().is_none().then_some(())
    })
    .await;
    world.kubelet.abort();
}
