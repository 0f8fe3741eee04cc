//! How a cluster is told of `LiveStream` and `WorkerPool`.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use tokio::time::{sleep, timeout};

use crate::calls::{Failure, call};
use crate::{LiveStream, WorkerPool};

/// The definitions of this release.
pub fn all() -> [CustomResourceDefinition; 2] {
    [LiveStream::crd(), WorkerPool::crd()]
}

/// Applies a definition, whoever has written the one that is there, and waits until the server serves it.
///
/// # Errors
/// [`Failure`] when the server does not take it, or does not serve it within 30 s.
pub async fn apply(client: &Client, definition: &CustomResourceDefinition) -> Result<(), Failure> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = definition.name_any();
    let params = PatchParams::apply(MANAGER).force();
    call(definitions.patch(&name, &params, &Patch::Apply(definition))).await?;
    let served = async {
        while !is_served(&call(definitions.get(&name)).await?) {
            sleep(EACH).await;
        }
        Ok(())
    };
    let in_time = timeout(SERVED_WITHIN, served).await;
    in_time.unwrap_or_else(|_| {
        let seconds = SERVED_WITHIN.as_secs();
        Err(Failure::Unavailable(format!("{name} is not served within {seconds} s")))
    })
}

/// Whether the cluster has one of this name, of whatever release.
///
/// # Errors
/// [`Failure`] when the server does not say.
pub async fn is_there(client: &Client, definition: &CustomResourceDefinition) -> Result<bool, Failure> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    match call(definitions.get(&definition.name_any())).await {
        Ok(_) => Ok(true),
        Err(Failure::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_served(definition: &CustomResourceDefinition) -> bool {
    let status = definition.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|is| is.type_ == "Established" && is.status == "True")
}

/// Of the fields that it applies.
const MANAGER: &str = "caudal-crds";
const EACH: Duration = Duration::from_millis(100);
/// A server that is not busy takes a tenth of a second.
const SERVED_WITHIN: Duration = Duration::from_secs(30);
