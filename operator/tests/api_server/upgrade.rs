//! What becomes of live broadcasts when their pool's template changes, over a real server.

use std::time::Duration;

use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::Epoch;
use caudal_livestream::record::Phase;
use k8s_openapi::jiff::SignedDuration;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::records::open;
use crate::server::{until, until_within};
use crate::world::World;

#[tokio::test]
async fn live_broadcasts_stay_on_a_worker_of_an_old_template_or_leave_it_one_after_the_other_at_the_pace_that_is_set()
 {
    let Some(mut world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let (client, namespace) = (world.client.clone(), world.namespace.clone());
    let pools: Api<WorkerPool> = Api::namespaced(client.clone(), &namespace);
    let streams: Api<LiveStream> = Api::namespaced(client.clone(), &namespace);
    let mut both = Vec::new();
    for _ in 0..2 {
        let stream = open(client.clone(), &namespace).await;
        world.until_live(stream, 1).await;
        both.push(stream);
    }
    let params = PatchParams::default();
    // With places for both at once, only the pace keeps them apart.
    let template =
        json!({ "spec": { "moveSurge": 2, "template": { "labels": { "example.org/to": "new" } } } });
    pools.patch("default", &params, &Patch::Merge(template)).await.unwrap();
    let until_outdated = async |outdated: u32| {
        until_within(Duration::from_mins(1), "outdated workers", async || {
            let status = pools.get("default").await.unwrap().status?;
            (status.outdated == outdated && status.idle == 1).then_some(())
        })
        .await;
    };
    until_outdated(2).await;

    // A pace of none: they are where they were after another one has come and has been moved by hand.
    let other = open(client.clone(), &namespace).await;
    world.until_live(other, 1).await;
    let order = json!({ "metadata": { "annotations": { names::MOVE_ANNOTATION: "now" } } });
    streams.patch(&names::live_stream(other), &params, &Patch::Merge(order)).await.unwrap();
    world.until_live(other, 2).await;
    for stream in &both {
        let status = streams.get(&names::live_stream(*stream)).await.unwrap().status.unwrap();
        assert_eq!((status.phase, status.epoch, status.next), (Phase::Live, Epoch(1), None));
    }
    operator.stop().await;

    // Ten seconds apart.
    world.moves_per_minute = 6;
    let operator = world.operator("two").await;
    until_outdated(0).await;
    for stream in &both {
        world.until_live(*stream, 2).await;
    }
    world.until_live(other, 2).await;
    let times = until("the words for both", async || {
        let events = world.events().await.into_iter();
        let left = events.filter(|event| event.reason.as_deref() == Some("LeavesOutdatedWorker"));
        let mut times: Vec<_> = left.filter_map(|event| Some(event.event_time?.0)).collect();
        times.sort();
        (times.len() == 2).then_some(times)
    })
    .await;
    // An Event may be written some time after a move has begun. Without a pace they would be one second apart.
    assert!(times[1].duration_since(times[0]) > SignedDuration::from_secs(5), "{times:?}");
    operator.stop().await;
    world.kubelet.abort();
}
