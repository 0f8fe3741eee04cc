//! The operator: LiveStreams for records, pods for workers.

use std::sync::Arc;

use anyhow::Context as _;
use caudal_directory::{Reporter, WorkerClient};
use caudal_kubernetes::calls;
use caudal_operator::{BucketCredentials, Config, PodSettings, Storage, Term, WorkerTraces};
use caudal_service::health::Readiness;
use caudal_storage::{RoleConfig, RoleSessions};
use caudal_traces::Traces;
use prometheus::Registry;

use crate::secrets::ControllerKeys;
use crate::settings::{HttpUrl, Settings};

/// What it is given. It reports to the internal listener at `api`.
///
/// # Errors
/// When nothing says where the API server is, where segments go, or what workers run.
pub async fn config(
    settings: &Settings,
    keys: ControllerKeys,
    api: String,
    registry: &Registry,
    traces: Traces,
    readiness: Readiness,
) -> anyhow::Result<Config> {
    let ControllerKeys { assignments, input, feed, signer } = keys;
    let client = calls::client().await.context("an operator needs a Kubernetes API server")?;
    let namespace = settings.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    tracing::info!(namespace, release = settings.release, "drives the LiveStreams of a namespace");
    let pods = PodSettings {
        namespace,
        release: settings.release.clone(),
        image: settings.worker_image.clone().context("CAUDAL_WORKER_IMAGE is not set")?,
        pull_secrets: settings.worker_pull_secrets.clone(),
        pull_policy: settings.worker_pull_policy.clone(),
        secret: settings.worker_secret.clone(),
        storage: workers_storage(settings)?,
        log_level: None,
        traces: settings.traces.endpoint.as_ref().map(|endpoint| WorkerTraces {
            endpoint: endpoint.as_str().to_owned(),
            share: settings.traces.share.of_one(),
        }),
    };
    Ok(Config {
        client,
        identity: identity(),
        term: Term::default(),
        pods,
        pool: settings.pool.clone().unwrap_or_else(|| "default".to_owned()),
        drain_moves: settings.drain_moves,
        moves_per_minute: settings.moves_per_minute,
        media: settings.storage.open(&settings.given)?,
        link: Arc::new(WorkerClient::new().context("HTTP client")?),
        sessions: sessions(settings)?,
        api: Arc::new(Reporter::new(api, signer).context("HTTP client")?),
        assignments,
        router_key: input,
        feed_key: feed,
        edge: settings.public_hls_url.as_ref().map(HttpUrl::as_str).map(str::to_owned),
        registry: registry.clone(),
        traces,
        readiness,
    })
}

/// The same place as this operator's own storage, as a worker's pod reaches it.
fn workers_storage(settings: &Settings) -> anyhow::Result<Storage> {
    let storage = &settings.storage;
    if let Some(bucket) = &storage.s3_bucket {
        return Ok(Storage::Bucket {
            name: bucket.clone(),
            region: storage.s3_region.clone(),
            endpoint: storage.s3_endpoint.as_ref().map(|url| url.as_str().to_owned()),
            credentials: match &settings.sts_role_arn {
                Some(_) => BucketCredentials::Assignment,
                None => BucketCredentials::Secret(settings.worker_bucket_secret.clone()),
            },
        });
    }
    let claim = settings.media_claim.clone();
    // The settings were checked.
    let claim = claim.context("CAUDAL_MEDIA_CLAIM")?;
    Ok(Storage::Volume { claim })
}

/// Sessions for workers that get their credentials with the assignment.
fn sessions(settings: &Settings) -> anyhow::Result<Option<RoleSessions>> {
    let Some(role_arn) = settings.sts_role_arn.clone() else { return Ok(None) };
    // The settings were checked.
    let bucket = settings.storage.bucket()?.context("AWS_S3_BUCKET")?;
    let role = RoleConfig {
        role_arn,
        duration: settings.sts_duration.0,
        endpoint: settings.sts_endpoint.as_ref().map(|url| url.as_str().to_owned()),
        region: settings.sts_region.clone(),
    };
    Ok(Some(RoleSessions::new(&bucket, role)?))
}

/// The pod's name, for people, and what no other process has: one that starts anew in the same pod is another.
fn identity() -> String {
    // Kubernetes sets it to the pod's name.
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    format!("{}_{}", host.unwrap_or_else(|| "operator".to_owned()), uuid::Uuid::new_v4())
}
