//! The scheduler and the kubelets of the fake nodes: a pod gets a node and an address, and is ready at once; one that is deleted has
//! ended at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use caudal_kubernetes::names::STREAM_LABEL;
use caudal_kubernetes::watching::{News, watch};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::broadcasts::Broadcasts;
use crate::cluster::{NAMESPACE, NODES, node};
use crate::workers::Workers;

/// Never ends.
pub(crate) async fn run(
    client: Client,
    workers: Arc<Workers>,
    broadcasts: Arc<Broadcasts>,
) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let next = AtomicUsize::new(0);
    let news = watch::<Pod>(Api::namespaced(client, NAMESPACE), None);
    news.for_each_concurrent(AT_ONCE, async |news| {
        let News::Is(pod) = news else { return };
        let name = pod.name_any();
        let Some(worker) = pod.uid().and_then(|uid| uid.parse().ok()) else { return };
        if pod.metadata.deletion_timestamp.is_some() {
            if workers.remove(worker) {
                let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
            }
            return;
        }
        if let Some(stream) = pod.labels().get(STREAM_LABEL).and_then(|stream| stream.parse().ok()) {
            broadcasts.has_pod(stream);
        }
        // One that is known runs already.
        let Some(address) = workers.add(worker) else { return };
        let on = node(next.fetch_add(1, Ordering::Relaxed) % NODES);
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": on },
        });
        let params = PostParams::default();
        let bound = pods.create_subresource::<_, Status>("binding", &name, &params, &binding);
        // A pod may be deleted at any moment.
        if bound.await.is_err() {
            return;
        }
        let status = json!({ "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        }});
        let _ = pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(status)).await;
    })
    .await;
    Ok(())
}

/// So that it is not the kubelets that the server is busy with.
const AT_ONCE: usize = 10;
