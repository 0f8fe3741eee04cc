//! Puts the label back that says that a worker has a broadcast, where a person has taken it off or changed it: the PodDisruptionBudget goes by
//! that label.

use std::time::Duration;

use caudal_kubernetes::calls::{Failure, call_later};
use caudal_kubernetes::names;
use caudal_livestream::StreamId;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::sleep;

use crate::pods::{Pods, Refusals, WorkerPod};
use crate::pools::Pools;
use crate::records::{LiveStreams, MANAGER};

/// Whoever leads runs it.
pub(crate) struct Mislabelled {
    api: Api<Pod>,
    pods: Pods,
    pools: Pools,
    streams: LiveStreams,
    refusals: Refusals,
}

impl Mislabelled {
    pub(crate) fn new(
        client: &Client,
        namespace: &str,
        pods: Pods,
        pools: Pools,
        streams: LiveStreams,
    ) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, pods, pools, streams, refusals: Refusals::default() }
    }

    /// Looks again and again; never ends.
    pub(crate) async fn run(self) {
        loop {
            sleep(EACH).await;
            for (stream, pod) in self.pods.all_claimed() {
                if self.is_to_be_labelled(stream, &pod) {
                    self.label(stream, &pod).await;
                }
            }
        }
    }

    fn is_to_be_labelled(&self, stream: StreamId, pod: &WorkerPod) -> bool {
        let paused = self.pools.is_paused(&pod.pool) || self.streams.is_paused(stream);
        pod.mislabelled && !pod.leaving && !pod.ended && !paused
    }

    async fn label(&self, stream: StreamId, pod: &WorkerPod) {
        let patch = json!({ "metadata": {
            "uid": pod.worker,
            "resourceVersion": pod.version.to_string(),
            "labels": { (names::STATE_LABEL): names::CLAIMED },
        }});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match call_later(self.api.patch(&pod.name, &params, &Patch::Merge(&patch))).await {
            Ok(patched) => {
                self.pods.wrote(&patched);
                tracing::warn!(%stream, pod = pod.name, "somebody had changed the label that says that a worker has a broadcast; it was put back");
            }
            // The watch tells of what has become of it.
            Err(Failure::Conflict | Failure::NotFound) => {}
            // As where somebody has taken more labels off it, by which a policy knows what an operator may change.
            Err(error @ (Failure::Refused(_) | Failure::Forbidden(_))) if self.refusals.is_new(pod) => {
                tracing::warn!(%error, %stream, pod = pod.name, "somebody has changed the label that says that a worker has a broadcast, and it may not be put back");
            }
            Err(error) => {
                tracing::debug!(%error, %stream, pod = pod.name, "a worker's label cannot be put back now");
            }
        }
    }
}

const EACH: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use caudal_kubernetes::fake_server::{FakeServer, Trouble};
    use caudal_kubernetes::watching::News;
    use caudal_kubernetes::worker_pool::Template;
    use caudal_livestream::Epoch;
    use serde_json::Value;

    use super::*;
    use crate::build::tests::{pool, settings};
    use crate::orphans::tests::streams;
    use crate::warnings::Warnings;

    struct World {
        server: FakeServer,
        pods: Pods,
        streams: LiveStreams,
        name: String,
    }

    impl World {
        /// A broadcast that has a worker, which has this label instead of the one that says so.
        async fn with_label(label: &Value, paused: bool) -> Self {
            let server = FakeServer::new();
            let stream = StreamId::generate();
            let annotations = if paused { json!({ (names::PAUSED_ANNOTATION): "true" }) } else { json!({}) };
            let made = server.create(
                "livestreams",
                json!({
                    "apiVersion": "caudal.dev/v1alpha1", "kind": "LiveStream", "spec": { "stream": stream },
                    "metadata": { "name": names::live_stream(stream), "annotations": annotations },
                }),
            );
            let streams = streams(&server);
            caudal_controller::RecordStore::load(&streams).await.unwrap();
            let owner = made["metadata"]["uid"].as_str().unwrap();
            let pod = crate::build::cold(&pool(Template::default()), stream, Epoch(1), owner, &settings());
            let mut pod = serde_json::to_value(pod).unwrap();
            let labels = pod["metadata"]["labels"].as_object_mut().unwrap();
            labels.remove(names::STATE_LABEL);
            if !label.is_null() {
                labels.insert(names::STATE_LABEL.to_owned(), label.clone());
            }
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            let world = Self { server, pods: Pods::default(), streams, name };
            world.take(&world.server.create("pods", pod));
            world
        }

        fn take(&self, pod: &Value) {
            self.pods.take(News::Is(Box::new(serde_json::from_value(pod.clone()).unwrap())));
        }

        /// Runs for so many seconds.
        async fn run(&self, seconds: u64) {
            let pools = Pools::default();
            pools.take(News::Is(Box::new(pool(Template::default()))));
            let (client, pods) = (self.server.client(), self.pods.clone());
            let mislabelled = Mislabelled::new(&client, "caudal", pods, pools, self.streams.clone());
            let _ = tokio::time::timeout(Duration::from_secs(seconds), mislabelled.run()).await;
        }

        fn label(&self) -> Value {
            self.server.get("pods", &self.name).unwrap()["metadata"]["labels"][names::STATE_LABEL].clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_has_a_broadcast_and_has_lost_the_label_that_says_so_gets_it_back_unless_it_is_paused()
     {
        for (label, paused) in [(json!("idle"), false), (Value::Null, false), (json!("idle"), true)] {
            let world = World::with_label(&label, paused).await;
            let warnings = Warnings::default();
            let _heard = warnings.hear();
            world.run(25).await;
            assert_eq!(world.label(), if paused { label } else { json!(names::CLAIMED) });
            let patches = usize::from(!paused);
            assert_eq!(world.server.writes().len(), patches, "{:?}", world.server.writes());
            assert_eq!(warnings.take().len(), patches);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_label_that_may_not_be_put_back_is_said_once_that_it_may_not_until_somebody_changes_the_pod()
    {
        let world = World::with_label(&json!("idle"), false).await;
        let warnings = Warnings::default();
        let _heard = warnings.hear();
        for _ in 0..100 {
            world.server.trouble("PATCH pods", Trouble::Answer(403, "Forbidden"));
        }
        let changed = async {
            sleep(Duration::from_secs(55)).await;
            let changed = world.server.change("pods", &world.name, |pod| {
                pod["metadata"]["annotations"]["touched"] = json!("yes");
            });
            world.take(&changed);
        };
        tokio::join!(world.run(105), changed);
        assert_eq!(world.server.writes().len(), 10, "it is tried again and again");
        let said = warnings.take();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().all(|line| line.contains("may not be put back")), "{said:?}");
    }
}
