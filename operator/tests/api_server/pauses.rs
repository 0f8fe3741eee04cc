//! What an administrator has paused, over a real server.

use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::record::Phase;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::records::open;
use crate::server::until;
use crate::world::World;

fn paused(paused: impl Into<Value>) -> Patch<Value> {
    Patch::Merge(json!({ "metadata": { "annotations": { names::PAUSED_ANNOTATION: paused.into() } } }))
}

#[tokio::test]
async fn a_paused_broadcast_goes_on_and_ends_but_is_not_moved_nor_released_before_it_is_paused_no_longer() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let [stream, other] = [
        open(world.client.clone(), &world.namespace).await,
        open(world.client.clone(), &world.namespace).await,
    ];
    let worker = world.until_live(stream, 1).await;
    world.until_live(other, 1).await;
    let (name, params) = (names::live_stream(stream), PatchParams::default());
    let streams: Api<LiveStream> = Api::namespaced(world.client.clone(), &world.namespace);
    streams.patch(&name, &params, &paused("true")).await.unwrap();
    until("the words for it", async || world.told().await.contains(&"Paused".to_owned()).then_some(())).await;
    world
        .until_stream(stream, "a condition", |resource| {
            let conditions = resource.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|one| one.type_ == "Paused" && one.status == "True")
        })
        .await;

    // Whatever happens to the other one would have happened to this one in the same look.
    let order = json!({ "metadata": { "annotations": { names::MOVE_ANNOTATION: "now" } } });
    for one in [stream, other] {
        streams.patch(&names::live_stream(one), &params, &Patch::Merge(&order)).await.unwrap();
    }
    world.until_live(other, 2).await;
    let node = world.node_of(worker).await.unwrap();
    world.nodes.cordon(&node, true).await;
    world.until_live(other, 3).await;
    let still = streams.get(&name).await.unwrap();
    assert_eq!(still.annotations().get(names::MOVE_ANNOTATION).map(String::as_str), Some("now"), "it stands");
    let status = still.status.unwrap();
    assert_eq!((status.phase, status.epoch.0, status.next), (Phase::Live, 1, None));

    // A worker that is lost is replaced all the same.
    let name_of = |pod: Pod| pod.name_any();
    let pods = world.pods().list(&kube::api::ListParams::default()).await.unwrap();
    let pod = pods.into_iter().find(|pod| pod.uid() == Some(worker.to_string())).map(name_of).unwrap();
    world.pods().delete(&pod, &DeleteParams::default().grace_period(0)).await.unwrap();
    world.workers.end(worker);
    world.until_live(stream, 2).await;

    // An end is an end; what it leaves stays.
    streams.delete(&name, &DeleteParams::default()).await.unwrap();
    world
        .until_stream(stream, "ended", |one| {
            one.status.as_ref().is_some_and(|status| status.phase == Phase::Ended)
        })
        .await;
    until("its end is reported", async || {
        world.workers.reports().contains(&format!("done {stream}")).then_some(())
    })
    .await;
    assert_eq!(streams.get(&name).await.unwrap().finalizers(), [names::END_FINALIZER]);
    streams.patch(&name, &params, &paused(Value::Null)).await.unwrap();
    until("gone", async || streams.get_opt(&name).await.unwrap().is_none().then_some(())).await;
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn a_paused_pool_makes_and_deletes_no_worker_of_its_own_accord_and_says_so() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let pools: Api<WorkerPool> = Api::namespaced(world.client.clone(), &world.namespace);
    let params = PatchParams::default();
    pools.patch("default", &params, &paused("true")).await.unwrap();
    let says = async |answer: &str| {
        until(answer, async || {
            let conditions = pools.get("default").await.unwrap().status?.conditions;
            conditions.into_iter().find(|one| one.type_ == "Paused" && one.status == answer)
        })
        .await
    };
    says("True").await;
    // A broadcast gets the one that waits, and nobody takes its place.
    let stream = open(world.client.clone(), &world.namespace).await;
    world.until_live(stream, 1).await;
    let template = json!({ "spec": { "warm": { "min": 2, "max": 2 } } });
    pools.patch("default", &params, &Patch::Merge(&template)).await.unwrap();
    until("the operator has looked at that", async || {
        let pool = pools.get("default").await.unwrap();
        (pool.status?.observed_generation == pool.metadata.generation).then_some(())
    })
    .await;
    let there = world.pods().list(&kube::api::ListParams::default()).await.unwrap().items;
    assert_eq!(there.len(), 1);
    // Another one, which finds none, is given a new one: nobody is kept from going live.
    let other = open(world.client.clone(), &world.namespace).await;
    world.until_live(other, 1).await;

    pools.patch("default", &params, &paused(Value::Null)).await.unwrap();
    world.until_warm(2).await;
    says("False").await;
    operator.stop().await;
    world.kubelet.abort();
}
