//! Pods that are none of the operator's, and workers that are nobody's, over a real server.

use std::time::Duration;

use caudal_kubernetes::{WorkerPool, names};
use caudal_livestream::StreamId;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::server::until_within;
use crate::world::{World, pod_settings};

impl World {
    fn pools(&self) -> Api<WorkerPool> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a pod as one of the operator's, but owned by nobody, as somebody who copies one does.
    async fn copy_of_a_worker(&self, name: &str, change: impl FnOnce(&mut Pod)) -> String {
        let pool = self.pools().get("default").await.unwrap();
        let mut pod = caudal_operator::warm(&pool, 0, &pod_settings(&self.namespace));
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.owner_references = None;
        change(&mut pod);
        self.pods().create(&PostParams::default(), &pod).await.unwrap().uid().unwrap()
    }

    /// Waits until the pool's condition `ForeignPods` has this status, and these words.
    async fn until_foreign(&self, status: &str, words: &str) {
        until_within(Duration::from_mins(2), words, async || {
            let conditions = self.pools().get("default").await.unwrap().status?.conditions;
            let foreign = conditions.into_iter().find(|condition| condition.type_ == "ForeignPods")?;
            (foreign.status == status && foreign.message.contains(words)).then_some(())
        })
        .await;
    }

    async fn idle_pods(&self) -> Vec<Pod> {
        let params = ListParams::default().labels("caudal.dev/worker=idle");
        self.pods().list(&params).await.unwrap().items
    }
}

/// Labels of a worker that has a broadcast, of which nobody else knows.
fn claimed() -> [(String, String); 3] {
    [
        (names::STATE_LABEL.to_owned(), names::CLAIMED.to_owned()),
        (names::STREAM_LABEL.to_owned(), StreamId::generate().to_string()),
        (names::EPOCH_LABEL.to_owned(), "1".to_owned()),
    ]
}

#[tokio::test]
async fn a_worker_that_is_claimed_for_no_live_stream_makes_room_again() {
    let Some(world) = World::with_room_for(1).await else { return };
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    let idle = world.idle_pods().await;
    let labels: std::collections::HashMap<_, _> = claimed().into();
    let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
    world.pods().patch(&idle[0].name_any(), &PatchParams::default(), &patch).await.unwrap();
    until_within(Duration::from_mins(3), "another idle worker", async || {
        let all = world.pods().list(&ListParams::default()).await.unwrap().items;
        let others = all.iter().all(|pod| pod.uid() != idle[0].uid());
        (others && world.idle_pods().await.len() == 1).then_some(())
    })
    .await;
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn pods_that_somebody_has_given_a_workers_labels_take_no_place_and_are_named_and_left_alone() {
    let Some(world) = World::with_room_for(1).await else { return };
    let mut uids = Vec::new();
    for name in ["copy-1", "copy-2"] {
        uids.push(world.copy_of_a_worker(name, |pod| pod.labels_mut().extend(claimed())).await);
    }
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    world.until_foreign("True", ": copy-1, copy-2").await;
    for (name, uid) in ["copy-1", "copy-2"].into_iter().zip(uids) {
        let pod = world.pods().get(name).await.unwrap();
        assert_eq!((pod.uid(), pod.metadata.deletion_timestamp), (Some(uid), None));
    }
    operator.stop().await;
    world.kubelet.abort();
}

#[tokio::test]
async fn a_pod_that_has_the_name_of_a_worker_blocks_no_place_and_is_named_for_as_long_as_it_is_there() {
    let Some(world) = World::with_room_for(1).await else { return };
    let name = names::warm_pod("default", 0);
    // Nothing but its name is a worker's.
    let uid = world.copy_of_a_worker(&name, |pod| pod.metadata.labels = None).await;
    let operator = world.operator("one").await;
    world.until_warm(1).await;
    world.until_foreign("True", &format!(": {name}")).await;
    let idle = world.idle_pods().await;
    assert_eq!(idle.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), [names::warm_pod("default", 1)]);
    assert_eq!(world.pods().get(&name).await.unwrap().uid(), Some(uid));
    world.pods().delete(&name, &DeleteParams::default()).await.unwrap();
    world.until_foreign("False", "every pod of this pool").await;
    operator.stop().await;
    world.kubelet.abort();
}
