//! Pods of a real server, which takes only restricted ones here.

use std::sync::Arc;
use std::time::Duration;

use caudal_controller::{ClaimError, Pool, Presence, RecordStore as _, Start, Workers as _};
use caudal_kubernetes::{WorkerPool, names};
use caudal_livestream::Epoch;
use caudal_operator::{Metrics, PodWorkers, Pods, Pools};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::records::{open, store};
use crate::server::{namespace, until};
use crate::world::pod_settings;

#[tokio::test]
async fn a_cold_pod_is_admitted_found_again_and_ended() {
    let Some((client, namespace)) = namespace().await else { return };
    let pool = json!({
        "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "default" },
        "spec": { "maxWorkers": 1, "moveSurge": 0, "warm": { "min": 0, "max": 0 } },
    });
    let api: Api<WorkerPool> = Api::namespaced(client.clone(), &namespace);
    api.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let stream = open(client.clone(), &namespace).await;
    let other = open(client.clone(), &namespace).await;
    let records = store(client.clone(), &namespace);
    records.load().await.unwrap();

    let (pods, pools) = (Pods::default(), Pools::default());
    let following = {
        let (pods, pools, client, namespace) =
            (pods.clone(), pools.clone(), client.clone(), namespace.clone());
        tokio::spawn(async move {
            tokio::join!(pods.follow(client.clone(), &namespace), pools.follow(client, &namespace));
        })
    };
    until("the pool", async || pools.get("default")).await;
    let settings = pod_settings(&namespace);
    let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
    let workers = PodWorkers::new(client.clone(), pods, pools, Arc::new(records), settings, metrics);
    let all: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let name = names::cold_pod(stream, Epoch(1));
    // What a kubelet would say.
    let listening = async {
        until("the pod", async || all.get_opt(&name).await.unwrap()).await;
        let status = json!({ "status": {
            "phase": "Running", "podIP": "10.1.2.4", "podIPs": [{ "ip": "10.1.2.4" }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        }});
        all.patch_status(&name, &PatchParams::default(), &Patch::Strategic(status)).await.unwrap();
    };
    let (claimed, ()) = tokio::join!(workers.claim(stream, Epoch(1), &Pool::default()), listening);
    let pod = all.get(&name).await.unwrap();
    let claimed = claimed.unwrap();
    let worker = claimed.worker;
    assert_eq!(claimed.start, Start::Cold);
    assert_eq!(Some(worker.worker.to_string()), pod.metadata.uid);
    assert_eq!(workers.claim(stream, Epoch(1), &Pool::default()).await.unwrap(), claimed);
    let full = ClaimError::NoCapacity("as many broadcasts are open as pool default may have".to_owned());
    assert_eq!(workers.claim(other, Epoch(1), &Pool::default()).await, Err(full));

    let withdrawn = tokio::spawn(workers.withdraw(stream));
    // Nobody runs it here, so nobody says that it has ended; a kubelet deletes it for good then.
    until("deleted", async || {
        let Some(pod) = all.get_opt(&name).await.unwrap() else { return Some(()) };
        pod.metadata.deletion_timestamp.map(|_| ())
    })
    .await;
    let _ = all.delete(&name, &DeleteParams::default().grace_period(0)).await;
    withdrawn.await.unwrap();
    assert_eq!(workers.exited(worker.worker).await, Presence::Gone);
    following.abort();
}

#[tokio::test]
async fn a_worker_whose_labels_somebody_changes_serves_on_and_one_that_ended_by_itself_is_deleted() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<WorkerPool> = Api::namespaced(client.clone(), &namespace);
    let pool = json!({
        "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "default" },
        "spec": { "maxWorkers": 1, "moveSurge": 0, "warm": { "min": 0, "max": 0 } },
    });
    api.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let stream = open(client.clone(), &namespace).await;
    let records = store(client.clone(), &namespace);
    records.load().await.unwrap();
    let (pods, pools) = (Pods::default(), Pools::default());
    let following = {
        let (pods, pools, client, namespace) =
            (pods.clone(), pools.clone(), client.clone(), namespace.clone());
        tokio::spawn(async move {
            tokio::join!(pods.follow(client.clone(), &namespace), pools.follow(client, &namespace));
        })
    };
    until("the pool", async || pools.get("default")).await;
    let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
    let settings = pod_settings(&namespace);
    let workers = PodWorkers::new(client.clone(), pods, pools, Arc::new(records), settings, metrics);
    let all: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let name = names::cold_pod(stream, Epoch(1));
    let says = async |status: Value| {
        until("the pod", async || all.get_opt(&name).await.unwrap()).await;
        let status = Patch::Strategic(json!({ "status": status }));
        all.patch_status(&name, &PatchParams::default(), &status).await.unwrap();
    };
    let listens = json!({
        "phase": "Running", "podIP": "10.1.2.4", "podIPs": [{ "ip": "10.1.2.4" }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    });
    let (claimed, ()) = tokio::join!(workers.claim(stream, Epoch(1), &Pool::default()), says(listens));
    let worker = claimed.unwrap().worker.worker;

    let exited = tokio::spawn(workers.exited(worker));
    let without_pool = json!({ "metadata": { "labels": { names::POOL_LABEL: null } } });
    all.patch(&name, &PatchParams::default(), &Patch::Merge(without_pool)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!exited.is_finished(), "it serves on");
    says(json!({ "phase": "Failed", "reason": "Evicted" })).await;
    assert_eq!(exited.await.unwrap(), Presence::Gone, "it is still heard of");
    assert!(all.get_opt(&name).await.unwrap().is_some());
    assert_eq!(workers.release(worker).await, Presence::Gone);
    until("deleted", async || all.get_opt(&name).await.unwrap().is_none().then_some(())).await;
    following.abort();
}
