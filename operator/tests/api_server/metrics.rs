//! What whole operators count while they lead.

use std::sync::atomic::Ordering;

use caudal_kubernetes::{LiveStream, names};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::records::open;
use crate::server::until;
use crate::world::World;

#[tokio::test]
async fn a_broadcast_is_counted_from_its_admission_over_a_lost_worker_to_its_end() {
    let Some(world) = World::new().await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    operator.until_it_says("caudal_operator_leads", 1.0).await;
    let workers = |state: &str| format!("caudal_operator_workers{{pool=\"default\",state=\"{state}\"}}");
    let streams = |phase: &str| format!("caudal_controller_streams{{phase=\"{phase}\"}}");
    operator.until_it_says(&workers("idle"), 1.0).await;
    assert_eq!(operator.says(&streams("live")), Some(0.0), "before there was one");

    // The api is away, so what it is to be told waits.
    world.workers.unheard.store(true, Ordering::Relaxed);
    let stream = open(world.client.clone(), &world.namespace).await;
    let worker = world.until_live(stream, 1).await;
    operator.until_it_says(&streams("live"), 1.0).await;
    operator.until_it_says(&workers("claimed"), 1.0).await;
    operator.until_it_says("caudal_controller_queue_depth{queue=\"reports\"}", 1.0).await;
    world.workers.unheard.store(false, Ordering::Relaxed);
    operator.until_it_says("caudal_controller_queue_depth{queue=\"reports\"}", 0.0).await;
    let claims = |start: &str| format!("caudal_controller_claim_duration_seconds_count{{start=\"{start}\"}}");
    assert_eq!((operator.says(&claims("warm")), operator.says(&claims("cold"))), (Some(1.0), Some(0.0)));
    let epochs = |reason: &str| format!("caudal_controller_epochs_begun_total{{reason=\"{reason}\"}}");
    assert_eq!(operator.says(&epochs("first")), Some(1.0));
    assert_eq!(operator.says("caudal_controller_first_part_seconds_count"), Some(1.0));
    let first_part = operator.says("caudal_controller_first_part_seconds_sum").unwrap();
    assert!((0.0..30.0).contains(&first_part), "{first_part}");

    // Its node is lost, and there is no warm worker to replace it.
    let pools: Api<caudal_kubernetes::WorkerPool> = Api::namespaced(world.client.clone(), &world.namespace);
    let none = json!({ "spec": { "warm": { "min": 0, "percentOfLive": 0, "max": 0 } } });
    pools.patch("default", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
    for name in ["w-default-0", "w-default-1"] {
        let _ = world.pods().delete(name, &DeleteParams::default().grace_period(0)).await;
    }
    world.workers.end(worker);
    world.until_live(stream, 2).await;
    operator.until_it_says(&epochs("process_ended"), 1.0).await;
    until("a claim, warm or cold", async || {
        let both = operator.says(&claims("warm"))? + operator.says(&claims("cold"))?;
        (both > 1.5).then_some(())
    })
    .await;
    assert_eq!(operator.says("caudal_controller_first_part_seconds_count"), Some(1.0), "it was live before");

    let end = json!({ "spec": { "desiredState": "Ended" } });
    let api: Api<LiveStream> = Api::namespaced(world.client.clone(), &world.namespace);
    api.patch(&names::live_stream(stream), &PatchParams::default(), &Patch::Merge(end)).await.unwrap();
    operator.until_it_says(&streams("ended"), 1.0).await;
    operator.until_it_says(&streams("live"), 0.0).await;
    operator.until_it_says(&workers("claimed"), 0.0).await;

    let looks = |outcome: &str| {
        let line = format!(
            "caudal_controller_reconcile_duration_seconds_count{{kind=\"pool\",outcome=\"{outcome}\"}}"
        );
        operator.says(&line).unwrap_or_default()
    };
    assert!(looks("changed") > 0.0);
    until("a lease that was renewed", async || {
        let renewed = "caudal_operator_lease_renewal_duration_seconds_count{outcome=\"renewed\"}";
        operator.says(renewed).filter(|renewed| *renewed > 0.0)
    })
    .await;
    world.kubelet.abort();
    let registry = operator.registry();
    operator.stop().await;
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(text.contains("caudal_operator_leads 0"));
    assert!(!text.contains("caudal_operator_workers{"), "whoever leads next speaks of the pools");
    for line in text.lines().filter(|line| line.starts_with("caudal_controller_streams{")) {
        assert!(line.ends_with(" 0"), "{line}");
    }
    assert!(!text.contains(&stream.to_string()) && !text.contains(&worker.to_string()));
}
