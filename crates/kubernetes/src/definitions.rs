//! How a cluster is told of `LiveStream` and `WorkerPool`.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use semver::Version;
use tokio::time::{sleep, timeout};

use crate::calls::{Failure, call};
use crate::names::RELEASE_ANNOTATION;
use crate::{LiveStream, WorkerPool};

/// The definitions of this release, which they name.
pub fn all() -> [CustomResourceDefinition; 2] {
    [LiveStream::crd(), WorkerPool::crd()].map(|mut definition| {
        definition.annotations_mut().insert(RELEASE_ANNOTATION.to_owned(), RELEASE.to_owned());
        definition
    })
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

/// What the cluster has of this name, of whatever release.
///
/// # Errors
/// [`Failure`] when the server does not say.
pub async fn found(
    client: &Client,
    definition: &CustomResourceDefinition,
) -> Result<Option<CustomResourceDefinition>, Failure> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    match call(definitions.get(&definition.name_any())).await {
        Ok(found) => Ok(Some(found)),
        Err(Failure::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The release that `found` is of, where that is a later one than this.
pub fn later_release(found: &CustomResourceDefinition) -> Option<Version> {
    let release = found.annotations().get(RELEASE_ANNOTATION)?.parse().ok()?;
    RELEASE.parse().is_ok_and(|ours: Version| release > ours).then_some(release)
}

fn is_served(definition: &CustomResourceDefinition) -> bool {
    let status = definition.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|is| is.type_ == "Established" && is.status == "True")
}

const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// Of the fields that it applies.
const MANAGER: &str = "caudal-crds";
const EACH: Duration = Duration::from_millis(100);
/// A server that is not busy takes a tenth of a second.
const SERVED_WITHIN: Duration = Duration::from_secs(30);
