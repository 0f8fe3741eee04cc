//! Deleting a pod that nobody needs.

use caudal_kubernetes::calls::{Failure, call_later};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};

use super::{Pods, WorkerPod};

/// Deletes a pod as it is known: one that somebody has changed meanwhile, a claim for instance, has another version, and stays.
pub(crate) async fn delete_unchanged(api: &Api<Pod>, pods: &Pods, pod: &WorkerPod) -> Result<(), Failure> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(pod.worker.to_string()),
            resource_version: Some(pod.version.to_string()),
        }),
        ..DeleteParams::background()
    };
    match call_later(api.delete(&pod.name, &params)).await {
        Ok(_) | Err(Failure::Conflict) => Ok(()),
        Err(Failure::NotFound) => {
            pods.vanished(&pod.name);
            Ok(())
        }
        Err(error) => Err(error),
    }
}
