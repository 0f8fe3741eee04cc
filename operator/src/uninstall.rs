//! Before an installation is removed: all broadcasts are ended while something still runs that can end them, and what does not end in
//! time is let go of, because nothing will be left that could.

use std::collections::HashSet;
use std::time::Duration;

use caudal_kubernetes::calls::{Failure, call, call_for_many};
use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::report::EndReason;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::letting_go::{is_held, let_go_of};
use crate::pages::Pages;

/// Ends all broadcasts of `namespace`, waits up to `wait` until the operator is done with them, and then lets go of what is left: takes the
/// finalizers off, and deletes the workers. `tell` is given a line for a person about each step. Doing it again is harmless.
///
/// # Errors
/// When the API server does not say what there is, or something could not be let go of.
pub async fn uninstall(
    client: &Client,
    namespace: &str,
    wait: Duration,
    mut tell: impl FnMut(String),
) -> Result<(), Failure> {
    let streams: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<LiveStream>(&()));
    match close_pools(client, namespace).await {
        Ok(pools) => tell(format!("worker pools that take no new broadcasts any more: {pools}")),
        Err(Failure::NotFound) => {
            tell("this cluster does not know LiveStreams; nothing is to be done".to_owned());
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    let until = Instant::now() + wait;
    let (mut ended, mut said) = (HashSet::new(), String::new());
    loop {
        let late = Instant::now() >= until;
        // Each time anew: a router may have let one in just before it heard of the pools.
        let line = match end_open(&streams, &mut ended).await {
            Ok(open) if open.is_empty() => {
                tell(format!("broadcasts ended: {}; still open: 0", ended.len()));
                return Ok(());
            }
            Ok(open) if late => return let_go(client, namespace, &open, tell).await,
            Ok(open) => format!("broadcasts still open: {}; waiting for the operator", open.len()),
            Err(error @ Failure::Unavailable(_)) if !late => format!("{error}; trying again"),
            Err(error) => return Err(error),
        };
        if said != line {
            tell(line.clone());
            said = line;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Makes routers refuse publishers, who would otherwise come back right after their broadcast has ended. Returns how many pools there are.
async fn close_pools(client: &Client, namespace: &str) -> Result<usize, Failure> {
    let pools: Api<WorkerPool> = Api::namespaced(client.clone(), namespace);
    let names = call(pools.list_metadata(&ListParams::default())).await?.items;
    let closed = json!({ "spec": { "maxWorkers": 0, "warm": { "min": 0, "percentOfLive": 0, "max": 0 } } });
    for pool in &names {
        match call(pools.patch(&pool.name_any(), &params(), &Patch::Merge(&closed))).await {
            Ok(_) | Err(Failure::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names.len())
}

/// Ends what is open and adds it to `ended`; returns the names of all that is open: broadcasts that are not over, or whose end the api
/// does not know of, whatever release wrote them.
async fn end_open(streams: &Api<DynamicObject>, ended: &mut HashSet<String>) -> Result<Vec<String>, Failure> {
    let (mut open, mut live) = (Vec::new(), Vec::new());
    let mut pages = Pages::default();
    while let Some(params) = pages.next() {
        let page = call_for_many(streams.list(&params)).await?;
        pages.read(page.metadata.continue_.as_deref());
        for stream in page.items.iter().filter(|stream| is_held(*stream) || !is_over(stream)) {
            let name = stream.name_any();
            if !is_to_end(stream) {
                live.push(name.clone());
            }
            open.push(name);
        }
    }
    end(streams, live).await?;
    ended.extend(open.iter().cloned());
    Ok(open)
}

/// Whether somebody has ended it already.
fn is_to_end(stream: &DynamicObject) -> bool {
    stream.data.pointer("/spec/desiredState").is_some_and(|desired| desired == "Ended")
}

fn is_over(stream: &DynamicObject) -> bool {
    let phase = stream.data.pointer("/status/phase").and_then(serde_json::Value::as_str);
    matches!(phase, Some("Ended" | "Failed"))
}

async fn end(streams: &Api<DynamicObject>, names: Vec<String>) -> Result<(), Failure> {
    let ends = names.into_iter().map(|name| {
        let streams = streams.clone();
        async move {
            let end = json!({ "spec": { "desiredState": "Ended", "endReason": EndReason::Shutdown } });
            match call(streams.patch(&name, &params(), &Patch::Merge(&end))).await {
                // What the server refuses to end, because it does not fit the definition any more, is let go of when the others are done.
                Ok(_) | Err(Failure::NotFound | Failure::Refused(_)) => Ok(()),
                Err(error) => Err(error),
            }
        }
    });
    futures::stream::iter(ends).buffer_unordered(AT_ONCE).try_collect().await
}

/// Leaves nothing of `open` that holds up the namespace, or runs without anybody to end it.
async fn let_go(
    client: &Client,
    namespace: &str,
    open: &[String],
    mut tell: impl FnMut(String),
) -> Result<(), Failure> {
    tell(format!(
        "broadcasts that did not end in time: {}; no operator runs, or the api does not answer it",
        open.len()
    ));
    let streams: Api<LiveStream> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let claimed = ListParams::default().labels(&format!("{}={}", names::STATE_LABEL, names::CLAIMED));
    let workers = call_for_many(pods.list_metadata(&claimed)).await?.items;
    for name in open {
        let_go_of(&streams, name, MANAGER).await?;
        let of_it = |pod: &&PartialObjectMeta<Pod>| {
            pod.labels().get(names::STREAM_LABEL).is_some_and(|of| name.strip_prefix("s-") == Some(of))
        };
        for pod in workers.iter().filter(of_it) {
            match call(pods.delete(&pod.name_any(), &DeleteParams::default())).await {
                Ok(_) | Err(Failure::NotFound) => {
                    tell(format!("{name}: deleted its worker {}", pod.name_any()));
                }
                Err(error) => return Err(error),
            }
        }
        tell(format!("{name}: let go of"));
    }
    Ok(())
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

const MANAGER: &str = "caudal-uninstall";
/// A person waits for it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Patches on their way.
const AT_ONCE: usize = 8;

#[cfg(test)]
mod tests;
