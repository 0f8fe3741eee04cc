//! Before an installation is removed: all broadcasts are ended while something still runs that can end them, and what does not end in
//! time is let go of, because nothing will be left that could. One that fails opens the pools again that it has closed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use caudal_controller::WallClock;
use caudal_kubernetes::LiveStream;
use caudal_kubernetes::calls::{Failure, call, call_for_many};
use caudal_livestream::report::EndReason;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::closed_pools::{self, Reopened};
use crate::letting_go::{AT_ONCE, LETTING_GO};
use crate::pages::Pages;
use crate::server_clock::ServerClock;
use caudal_kubernetes::names::is_held;
use leftovers::Leftovers;
use persisting::{passes, persist};

mod leftovers;
mod persisting;

/// Why an installation is not ready to be removed. Its pools are open again, or `tell` was told which are not.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UninstallError {
    /// Routers may still let publishers in.
    #[error("the worker pools cannot be closed: {failure}{}", rights(failure))]
    Pools {
        /// What calls fail with.
        failure: Failure,
    },
    /// What there is cannot be read, or a broadcast cannot be ended.
    #[error("{failure}{}", rights(failure))]
    Broadcasts {
        /// What calls fail with.
        failure: Failure,
    },
    /// So many things of so many would hold up the namespace, or run on; `tell` was told which, and what to type.
    #[error(
        "{left} of {all} broadcasts and workers could not be let go of; the lines above say what to type"
    )]
    Left {
        /// What is still there.
        left: usize,
        /// What was to be let go of.
        all: usize,
    },
    /// It was told to end.
    #[error("it was told to end before it was done")]
    Stopped,
}

/// What to do about a right that is missing.
fn rights(failure: &Failure) -> &'static str {
    match failure {
        Failure::Forbidden(_) => {
            ". What `caudal uninstall` may have to do is in docs/kubernetes.md, Uninstall"
        }
        _ => "",
    }
}

/// Ends all broadcasts of `namespace`, waits up to `wait` until the operator is done with them, and then lets go of what is left: deletes
/// the workers, and takes the finalizers off. `tell` is given a line for a person about each step. Doing it again is harmless.
///
/// # Errors
/// When the API server does not say what there is, something could not be let go of, or `stop` came first. The pools are open again then.
pub async fn uninstall(
    client: &Client,
    namespace: &str,
    wait: Duration,
    stop: &CancellationToken,
    mut tell: impl FnMut(String),
) -> Result<(), UninstallError> {
    let own: WallClock = Arc::new(SystemTime::now);
    // The operator goes by the server's clock too. Without it, by this machine's.
    let wall = ServerClock::measured(client, &own).await.map_or(own, |clock| clock.wall());
    let ending = end_all(client, namespace, wait, &wall, &mut tell);
    let outcome = stop.run_until_cancelled(Box::pin(ending)).await.unwrap_or(Err(UninstallError::Stopped));
    match outcome {
        Ok(()) => keep_closed(client, namespace, &wall, &mut tell).await,
        Err(_) => reopen_pools(client, namespace, &mut tell).await,
    }
    outcome
}

async fn end_all(
    client: &Client,
    namespace: &str,
    wait: Duration,
    wall: &WallClock,
    tell: &mut impl FnMut(String),
) -> Result<(), UninstallError> {
    // An operator opens them only when this can no longer be under way.
    let over = closed_pools::after(wall, CLOSING + wait + LETTING_GO + REOPENING + SLACK);
    let by = Instant::now() + CLOSING;
    let closing = async || close_pools(client, namespace, by, over).await;
    match closing().await {
        Ok(pools) => tell(format!("worker pools that take no new broadcasts any more: {pools}")),
        Err(Failure::NotFound) => {
            tell("this cluster does not know LiveStreams; nothing is to be done".to_owned());
            return Ok(());
        }
        Err(failure) => return Err(UninstallError::Pools { failure }),
    }
    let streams: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<LiveStream>(&()));
    let mut ended = HashSet::new();
    if wait_for_ends(&streams, Instant::now() + wait, &mut ended, tell).await? == Ends::Over {
        return Ok(());
    }
    // From here on, however long the last look took.
    let by = Instant::now() + LETTING_GO;
    let open = persist(by, async || end_open(&streams).await).await;
    let open = open.map_err(|failure| UninstallError::Broadcasts { failure })?;
    ended.extend(open.iter().cloned());
    if open.is_empty() {
        tell(over_words(&ended));
        return Ok(());
    }
    Leftovers { client, namespace, by }.let_go(&open, tell).await
}

#[derive(PartialEq, Eq)]
enum Ends {
    /// No broadcast is open.
    Over,
    /// One may be.
    NotInTime,
}

/// Ends what is open, until the operator is done with all of it.
async fn wait_for_ends(
    streams: &Api<DynamicObject>,
    until: Instant,
    ended: &mut HashSet<String>,
    tell: &mut impl FnMut(String),
) -> Result<Ends, UninstallError> {
    let mut said = String::new();
    loop {
        // Each time anew: a router may have let one in just before it heard of the pools.
        let line = match timeout_at(until, end_open(streams)).await {
            Ok(Ok(open)) => {
                let none = open.is_empty();
                ended.extend(open.iter().cloned());
                if none {
                    tell(over_words(ended));
                    return Ok(Ends::Over);
                }
                format!("broadcasts still open: {}; waiting for the operator", open.len())
            }
            Ok(Err(error)) if passes(&error) => format!("{error}; trying again"),
            Ok(Err(failure)) => return Err(UninstallError::Broadcasts { failure }),
            Err(_) => return Ok(Ends::NotInTime),
        };
        if said != line {
            tell(line.clone());
            said = line;
        }
        if Instant::now() + LOOK_AGAIN > until {
            return Ok(Ends::NotInTime);
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn over_words(ended: &HashSet<String>) -> String {
    format!("broadcasts ended: {}; still open: 0", ended.len())
}

/// Makes routers refuse publishers, who would otherwise come back right after their broadcast has ended. Returns how many pools there are.
async fn close_pools(
    client: &Client,
    namespace: &str,
    by: Instant,
    over: k8s_openapi::jiff::Timestamp,
) -> Result<usize, Failure> {
    let pools = closed_pools::pools(client, namespace);
    let names = pool_names(&pools, by).await?;
    let closing = names.iter().map(|name| {
        let pools = &pools;
        async move { persist(by, async || closed_pools::close(pools, name, over, MANAGER).await).await }
    });
    // All of them, also where one cannot be: it says which right is missing once.
    let outcomes: Vec<_> = futures::stream::iter(closing).buffer_unordered(AT_ONCE).collect().await;
    outcomes.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(names.len())
}

/// After an end that went well: until Helm, or whoever removes the release, has removed the operator too.
async fn keep_closed(client: &Client, namespace: &str, wall: &WallClock, tell: &mut impl FnMut(String)) {
    let over = closed_pools::after(wall, STAYS_CLOSED);
    match close_pools(client, namespace, Instant::now() + REOPENING, over).await {
        Ok(_) | Err(Failure::NotFound) => {}
        Err(error) => {
            tell(format!("the operator opens the worker pools again if it still runs soon: {error}"));
        }
    }
}

/// After an end that failed: the platform is to go on.
async fn reopen_pools(client: &Client, namespace: &str, tell: &mut impl FnMut(String)) {
    let by = Instant::now() + REOPENING;
    let pools = closed_pools::pools(client, namespace);
    let names = match pool_names(&pools, by).await {
        Ok(names) => names,
        Err(Failure::NotFound) => return,
        Err(error) => {
            tell(format!("the worker pools stay closed until an operator opens them again: {error}"));
            return;
        }
    };
    let opening = names.into_iter().map(|name| {
        let pools = &pools;
        async move {
            let opened = persist(by, async || closed_pools::reopen(pools, &name, MANAGER).await).await;
            (name, opened)
        }
    });
    let opened: Vec<_> = futures::stream::iter(opening).buffer_unordered(AT_ONCE).collect().await;
    for (name, opened) in opened {
        match opened {
            Ok(Reopened::AsBefore) => tell(format!("worker pool {name}: open again, as it was before")),
            Ok(Reopened::NotClosed) => {}
            Err(error) => {
                tell(format!("worker pool {name}: stays closed until an operator opens it again: {error}"));
            }
        }
    }
}

async fn pool_names(pools: &Api<DynamicObject>, by: Instant) -> Result<Vec<String>, Failure> {
    let list = persist(by, async || call(pools.list_metadata(&ListParams::default())).await).await?;
    Ok(list.items.iter().map(ResourceExt::name_any).collect())
}

/// Ends what is open; returns the names of all that is open: broadcasts that are not over, or whose end the api does not know of, whatever
/// release wrote them.
async fn end_open(streams: &Api<DynamicObject>) -> Result<Vec<String>, Failure> {
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
    Ok(open)
}

/// Whether somebody has ended it already.
fn is_to_end(stream: &DynamicObject) -> bool {
    stream.data.pointer("/spec/desiredState").is_some_and(|desired| desired == "Ended")
}

/// As far as that can be told of whatever release's: an operator that ends a broadcast says when.
fn is_over(stream: &DynamicObject) -> bool {
    let ended = stream.data.pointer("/status/endedAt").is_some_and(serde_json::Value::is_string);
    let phase = stream.data.pointer("/status/phase").and_then(serde_json::Value::as_str);
    ended && matches!(phase, Some("Ended" | "Failed"))
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

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

const MANAGER: &str = "caudal-uninstall";
/// A person waits for it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// An API server that is being replaced is back by then.
const CLOSING: Duration = Duration::from_secs(15);
/// Less than a pod has from SIGTERM to its end.
const REOPENING: Duration = Duration::from_secs(20);
/// Before an operator takes an uninstall for dead: what two machines' clocks and a slow start of the process may come to.
const SLACK: Duration = Duration::from_secs(60);
/// Whoever removes a release by hand takes so long; Helm takes seconds.
const STAYS_CLOSED: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests;
