//! The API server, and what an installation has in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use caudal_kubernetes::{LiveStream, WorkerPool, calls};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use serde_json::json;
use tokio::time::sleep;

/// Where the installation is.
pub(crate) const NAMESPACE: &str = "caudal";
/// What all streams' workers come from.
pub(crate) const POOL: &str = "default";
/// Fake ones.
pub(crate) const NODES: usize = 50;

/// An API server that was started for this measurement.
pub(crate) struct Cluster {
    client: Client,
    pools: Api<WorkerPool>,
    pods: Api<Pod>,
    /// Where its programs were started.
    pub(crate) folder: PathBuf,
}

/// Requests that the API server has answered, by what they were about.
pub(crate) type Requests = BTreeMap<Request, u64>;

/// What a request was about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) resource: String,
    /// As in `livestreams/status`; empty for the resource itself.
    pub(crate) subresource: String,
    pub(crate) verb: String,
    /// Answered with 409: somebody else was quicker.
    pub(crate) conflict: bool,
}

/// A client of the server that `KUBECONFIG` names.
pub(crate) async fn client() -> anyhow::Result<Client> {
    Ok(calls::client().await?)
}

/// What a node is called.
pub(crate) fn node(number: usize) -> String {
    format!("node-{number:02}")
}

impl Cluster {
    /// Installs the definitions, a namespace, its pool and the nodes.
    pub(crate) async fn prepare() -> anyhow::Result<Self> {
        let kubeconfig = std::env::var_os("KUBECONFIG").context("run this by scripts/with-kubernetes.sh")?;
        let kubeconfig = PathBuf::from(kubeconfig);
        // Any other may be a cluster that matters.
        let is_throw_away = kubeconfig.to_string_lossy().starts_with("/tmp/caudal-kube.");
        ensure!(is_throw_away, "KUBECONFIG names no server of scripts/with-kubernetes.sh");
        let folder = kubeconfig.parent().context("KUBECONFIG is in no folder")?.to_owned();
        let client = client().await?;
        define(&client).await?;
        let namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
        // Pods are refused until it is there.
        while accounts.get_opt("default").await?.is_none() {
            sleep(LOOK_AGAIN).await;
        }
        let nodes: Api<Node> = Api::all(client.clone());
        for number in 0..NODES {
            let node = serde_json::from_value(json!({ "metadata": { "name": node(number) } }))?;
            nodes.create(&PostParams::default(), &node).await?;
        }
        let pools: Api<WorkerPool> = Api::namespaced(client.clone(), NAMESPACE);
        let pool = json!({
            "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": POOL },
            "spec": { "maxWorkers": 10_000, "warm": { "min": 0, "percentOfLive": 0, "max": 0 } },
        });
        pools.create(&PostParams::default(), &serde_json::from_value(pool)?).await?;
        Ok(Self { pods: Api::namespaced(client.clone(), NAMESPACE), client, pools, folder })
    }

    /// Has so many workers wait.
    pub(crate) async fn keep_warm(&self, workers: u32) -> anyhow::Result<()> {
        let warm = json!({ "spec": { "warm": { "min": workers, "percentOfLive": 0, "max": workers } } });
        self.pools.patch(POOL, &PatchParams::default(), &Patch::Merge(warm)).await?;
        Ok(())
    }

    /// How many workers wait, by the pool's status.
    pub(crate) async fn warm(&self) -> anyhow::Result<u32> {
        Ok(self.pools.get(POOL).await?.status.map_or(0, |status| status.idle))
    }

    /// How many pods there are.
    pub(crate) async fn pods(&self) -> anyhow::Result<usize> {
        Ok(self.pods.list_metadata(&ListParams::default()).await?.items.len())
    }

    /// What the server has answered so far.
    pub(crate) async fn requests(&self) -> anyhow::Result<Requests> {
        let asked = http::Request::get("/metrics").body(Vec::new())?;
        let said = self.client.request_text(asked).await?;
        Ok(requests(&said))
    }
}

/// What has come to `before` since.
pub(crate) fn since(before: &Requests, after: &Requests) -> Requests {
    let grown = after.iter().filter_map(|(request, count)| {
        let more = count.saturating_sub(before.get(request).copied().unwrap_or(0));
        (more > 0).then(|| (request.clone(), more))
    });
    grown.collect()
}

fn requests(metrics: &str) -> Requests {
    let mut requests = Requests::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
        let Some((labels, count)) = line.split_once("} ") else { continue };
        let label = |name: &str| {
            let of_name = |pair: &str| Some(pair.strip_prefix(name)?.strip_prefix("=\"")?.to_owned());
            labels.split("\",").find_map(of_name).unwrap_or_default().trim_end_matches('"').to_owned()
        };
        let request = Request {
            resource: label("resource"),
            subresource: label("subresource"),
            verb: label("verb"),
            conflict: label("code") == "409",
        };
        // Whole numbers, which large ones are written with an exponent.
        let count = count.trim().parse::<f64>().unwrap_or_default();
        let count = format!("{count:.0}").parse::<u64>().unwrap_or_default();
        *requests.entry(request).or_default() += count;
    }
    requests
}

async fn define(client: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in [LiveStream::crd(), WorkerPool::crd()] {
        let name = definition.name_any();
        definitions.create(&PostParams::default(), &definition).await?;
        loop {
            let status = definitions.get(&name).await?.status;
            let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
            if conditions.iter().any(|one| one.type_ == "Established" && one.status == "True") {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_codes_but_409_are_counted_together() {
        let found = requests(concat!(
            "# TYPE apiserver_request_total counter\n",
            "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"caudal.dev\",",
            "resource=\"livestreams\",scope=\"resource\",subresource=\"status\",verb=\"PUT\",version=\"v1\"} 7\n",
            "apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"\",group=\"caudal.dev\",",
            "resource=\"livestreams\",scope=\"resource\",subresource=\"status\",verb=\"PUT\",version=\"v1\"} 1e+06\n",
            "apiserver_request_total{code=\"409\",component=\"apiserver\",dry_run=\"\",group=\"caudal.dev\",",
            "resource=\"livestreams\",scope=\"resource\",subresource=\"status\",verb=\"PUT\",version=\"v1\"} 2\n",
            "apiserver_request_duration_seconds_count{verb=\"PUT\"} 9\n",
        ));
        let request = |conflict| Request {
            resource: "livestreams".to_owned(),
            subresource: "status".to_owned(),
            verb: "PUT".to_owned(),
            conflict,
        };
        assert_eq!(found, Requests::from([(request(false), 1_000_007), (request(true), 2)]));
        assert_eq!(since(&Requests::from([(request(true), 2)]), &found).len(), 1);
    }
}
