//! Ended broadcasts that stay for people to read, until their time is over; and those that a finalizer holds for nothing, or whose end
//! the api does not acknowledge.

use std::time::Duration;

use caudal_controller::{StoreError, Version};
use caudal_kubernetes::{LiveStream, names};
use caudal_livestream::{StreamId, UnixMillis};
use futures::StreamExt as _;
use tokio::time::sleep;

use super::cache::Cache;
use super::reading::{Reading, memento_until};
use super::{MANAGER, Shared};
use crate::letting_go::{is_held, let_go_of};
use caudal_kubernetes::names::is_paused;

pub(super) async fn collect(shared: &Shared) {
    loop {
        let held = held(&shared.cache());
        let freed = futures::stream::iter(held).map(|(stream, version)| shared.let_go(stream, version));
        freed.buffer_unordered(AT_ONCE).for_each(async |_| {}).await;
        let due = due(&shared.cache(), shared.now());
        let removals = futures::stream::iter(due).map(|stream| async move {
            match shared.remove(stream).await {
                Ok(()) | Err(StoreError::Gone) => {}
                Err(error) => {
                    tracing::debug!(%error, %stream, "an ended stream's resource stays a little longer");
                }
            }
        });
        removals.buffer_unordered(AT_ONCE).collect::<()>().await;
        let unheard = unheard(&shared.cache(), shared.now());
        for stream in unheard {
            match let_go_of(&shared.api, &names::live_stream(stream), MANAGER).await {
                Ok(()) => tracing::warn!(
                    %stream,
                    "the api has not acknowledged the end of a stream for a day; nothing holds its LiveStream any more"
                ),
                Err(error) => tracing::debug!(%error, %stream, "an ended stream is held a little longer"),
            }
        }
        sleep(EACH).await;
    }
}

/// The streams that are settled and still have our finalizer: an operator died, or the server failed, between the write that said so
/// and the one that takes it off.
fn held(cache: &Cache) -> Vec<(StreamId, Version)> {
    // Those that are live are most of them, and their machines are not read for nothing.
    let is_over =
        |resource: &LiveStream| resource.status.as_ref().is_some_and(|status| status.phase.is_over());
    let held = unpaused(cache).filter(|(_, resource)| is_held(*resource) && is_over(resource));
    let readings = held.filter_map(|(stream, _)| Some((stream, cache.read(stream)?.ok()?)));
    let settled = readings.filter_map(|(stream, (reading, version))| match reading {
        Reading::Record(record) => record.machine.is_settled().then_some((stream, version)),
        Reading::Memento(_) => Some((stream, version)),
    });
    settled.collect()
}

/// The streams whose end the api should have acknowledged a day ago. It is told on, as long as they are there; where they are not, it closes
/// their rows because it finds no broadcast for them.
fn unheard(cache: &Cache, now: UnixMillis) -> Vec<StreamId> {
    let until = now.0.saturating_sub(HELD_FOR_MS);
    let held = unpaused(cache).filter(|(_, resource)| is_held(*resource));
    let unheard = held.filter(|(_, resource)| {
        let ended = resource.status.as_ref().and_then(|status| status.ended_at.as_ref()).map(|at| at.0);
        // One that was deleted should be over within minutes.
        let since = ended.or(resource.metadata.deletion_timestamp.as_ref().map(|at| at.0));
        since.is_some_and(|since| since.as_millisecond() <= until)
    });
    unheard.map(|(stream, _)| stream).collect()
}

/// The streams whose time is over, and that the controller has nothing to do for.
fn due(cache: &Cache, now: UnixMillis) -> Vec<StreamId> {
    let over =
        unpaused(cache).filter(|(_, resource)| memento_until(resource).is_some_and(|until| until <= now));
    over.map(|(stream, _)| stream).collect()
}

/// Those that something may be done to unasked.
fn unpaused(cache: &Cache) -> impl Iterator<Item = (StreamId, &LiveStream)> {
    cache.resources().filter(|(_, resource)| !is_paused(*resource))
}

/// An api that is away for longer has to find out by itself, and a namespace is not held up for ever.
const HELD_FOR_MS: i64 = 24 * 60 * 60 * 1_000;
/// Nobody waits for it.
const EACH: Duration = Duration::from_secs(10);
/// So that the end of a big event takes nothing from the streams that run.
const AT_ONCE: usize = 4;
