//! Whole operators over a real server.

use std::time::{Duration, Instant};

use caudal_kubernetes::live_stream::{READY, WORKER_ASSIGNED};
use caudal_kubernetes::{LiveStream, names};
use caudal_livestream::record::{Phase, Spec};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::time::sleep;

use crate::records::{open, open_as};
use crate::server::{until, until_within};
use crate::world::World;

#[tokio::test]
async fn a_broadcast_outlives_the_operator_that_leads_and_then_the_worker_that_has_it() {
    let Some(world) = World::new().await else { return };
    let (one, two) = (world.operator("one").await, world.operator("two").await);
    world.until_warm(1).await;
    let warm = world.pods().get("w-default-0").await.unwrap();

    let stream = open(world.client.clone(), &world.namespace).await;
    let worker = world.until_live(stream, 1).await;
    assert_eq!(Some(worker.to_string()), warm.uid(), "the warm one has it");
    // Another one waits in its place.
    world.until_warm(1).await;

    // Whoever leads.
    let holder = async || world.leader().await.unwrap();
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
    until("what people read", async || {
        let told = world.told().await;
        ["WentLive", "WorkerReplaced", "Ended"]
            .iter()
            .all(|reason| told.iter().any(|told| told == reason))
            .then_some(())
    })
    .await;
    other.stop().await;
    assert_eq!(holder().await, "", "let go of");
    world.kubelet.abort();
}

#[tokio::test]
async fn a_pool_says_how_it_stands_and_an_order_to_move_is_carried_out_once() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
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
    let again = json!({ "metadata": { "annotations": { names::MOVE_ANNOTATION: "again" } } });
    api.patch(&names::live_stream(stream), &PatchParams::default(), &Patch::Merge(again)).await.unwrap();
    world.until_live(stream, 3).await;
    // An Event each, which says from where to where.
    let moves = until("the words for both", async || {
        let moves = world.notes("Moved").await;
        (moves.len() == 2).then_some(moves)
    })
    .await;
    let node = &world.nodes.names[0];
    for epoch in [2, 3] {
        let said = |note: &&String| note.contains(&format!("(epoch {epoch}), from pod w-"));
        let note = moves.iter().find(said).unwrap_or_else(|| panic!("{moves:?}"));
        assert_eq!(note.matches(&format!("on node {node}")).count(), 2, "{note}");
    }
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn a_broadcast_says_within_a_moment_what_it_waits_for_and_once() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let spec = Spec { pool: Some("hd".to_owned()), ..caudal_livestream::fixtures::spec() };
    let stream = open_as(world.client.clone(), &world.namespace, &spec).await;
    let why = "there is no WorkerPool hd";
    let opened = Instant::now();
    let waits = world
        .until_stream(stream, "what it waits for", |resource| {
            resource.status.as_ref().is_some_and(|status| {
                status.reason.as_deref() == Some("waiting for a worker: there is no WorkerPool hd")
            })
        })
        .await;
    assert!(opened.elapsed() < Duration::from_secs(2), "{:?}", opened.elapsed());
    let said = |resource: &LiveStream, kind: &str| {
        let conditions = &resource.status.as_ref().unwrap().conditions;
        conditions.iter().find(|condition| condition.type_ == kind).unwrap().message.clone()
    };
    assert_eq!(said(&waits, READY), format!("waiting for a worker: {why}"));
    assert_eq!(said(&waits, WORKER_ASSIGNED), format!("looking for a worker for epoch 1: {why}"));
    let told = async || world.told().await.into_iter().filter(|reason| reason == "NoWorker").count();
    until("an Event", async || (told().await > 0).then_some(())).await;
    // Nothing changes for a while, and nothing is written.
    sleep(Duration::from_secs(5)).await;
    let api: Api<LiveStream> = Api::namespaced(world.client.clone(), &world.namespace);
    let later = api.get(&names::live_stream(stream)).await.unwrap();
    assert_eq!((later.resource_version(), told().await), (waits.resource_version(), 1));

    // Who wants it moved meanwhile is answered where they look.
    let order = json!({ "metadata": { "annotations": { names::MOVE_ANNOTATION: "now" } } });
    api.patch(&names::live_stream(stream), &PatchParams::default(), &Patch::Merge(order)).await.unwrap();
    let failed = until("an answer", async || world.notes("MoveFailed").await.pop()).await;
    let channel = &spec.channel;
    let why = "the stream has no worker at present; it is being given one";
    assert_eq!(failed, format!("{channel}: could not be moved as it was asked: {why}"));
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn a_cordoned_node_is_left_by_what_is_live_and_by_what_waits_and_an_uncordoned_one_is_not() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let [a, b] = world.nodes.names.clone();
    let stream = open(world.client.clone(), &world.namespace).await;
    let one = world.until_live(stream, 1).await;
    world.until_warm(1).await;
    world.until_draining("False", "no broadcast").await;
    assert_eq!(world.node_of(one).await.as_ref(), Some(&a));

    world.nodes.cordon(&a, true).await;
    let two = world.until_live(stream, 2).await;
    assert_eq!(world.node_of(two).await.as_ref(), Some(&b));
    until("nothing on the cordoned node", async || {
        let pods = world.pods().list(&ListParams::default()).await.unwrap();
        let there = |pod: Pod| pod.spec.is_some_and(|spec| spec.node_name.as_ref() == Some(&a));
        (!pods.into_iter().any(there)).then_some(())
    })
    .await;
    world.until_warm(1).await;
    world.until_draining("False", "no broadcast").await;
    until("the words for it", async || world.told().await.contains(&"LeavesNode".to_owned()).then_some(()))
        .await;

    // With no node left, the broadcast stays, says so when its move is given up, and is moved as soon as there is one.
    world.nodes.cordon(&b, true).await;
    world.until_draining("True", "(cordoned): 1 to move").await;
    // A move is given up after 30 s.
    until_within(Duration::from_secs(50), "the words for that", async || {
        world.told().await.contains(&"CannotLeaveNode".to_owned()).then_some(())
    })
    .await;
    assert_eq!(world.node_of(two).await.as_ref(), Some(&b));
    world.nodes.cordon(&a, false).await;
    let three = world.until_live(stream, 4).await;
    assert_eq!(world.node_of(three).await.as_ref(), Some(&a));
    operator.stop().await;
    world.kubelet.abort();
}
