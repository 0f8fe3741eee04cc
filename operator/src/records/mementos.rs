//! Ended broadcasts that stay for people to read, until their time is over; and those that a finalizer holds for nothing, or whose end
//! the api does not acknowledge.

use std::time::Duration;

use caudal_controller::{StoreError, Version};
use caudal_kubernetes::{LiveStream, names};
use caudal_livestream::{StreamId, UnixMillis};
use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use tokio::time::sleep;

use super::cache::{Cache, Held};
use super::reading::memento_until;
use super::{MANAGER, Shared};
use crate::letting_go::let_go_of;
use caudal_kubernetes::calls::{Failure, call_later};
use caudal_kubernetes::names::is_held;
use caudal_kubernetes::names::is_paused;

/// `tell` hears what is worth an Event.
pub(super) async fn collect(shared: &Shared, tell: &Tell<'_>) {
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
        for (stream, why) in unheard {
            release(shared, &names::live_stream(stream), why, tell).await;
        }
        for name in shared.names_unread() {
            look_at_unread(shared, &name, tell).await;
        }
        sleep(EACH).await;
    }
}

/// Whoever hears what became of a stream, in words.
pub(super) type Tell<'a> = dyn Fn(StreamId, &str) + Send + Sync + 'a;

/// Takes the finalizer off of what the api will acknowledge no more.
async fn release(shared: &Shared, name: &str, why: &str, tell: &Tell<'_>) {
    let words = format!("{why}; nothing holds its LiveStream any more, and the api closes its row by itself");
    match let_go_of(&shared.api, name, MANAGER).await {
        Ok(()) => {
            tracing::warn!(livestream = name, "{words}");
            if let Some(stream) = names::stream_of(name) {
                tell(stream, &words);
            }
        }
        Err(error) => tracing::debug!(%error, livestream = name, "an ended stream is held a little longer"),
    }
}

/// One that nobody here can read still says when it was deleted.
async fn look_at_unread(shared: &Shared, name: &str, tell: &Tell<'_>) {
    let found = match call_later(shared.api.get_metadata(name)).await {
        Ok(found) => found,
        Err(Failure::NotFound) => return shared.forget_unread(name),
        Err(error) => {
            return tracing::debug!(%error, livestream = name, "a LiveStream cannot be looked at");
        }
    };
    let until = shared.now().0.saturating_sub(HELD_FOR_MS);
    let deleted = found.metadata.deletion_timestamp.as_ref();
    if deleted.is_some_and(|at| at.0.as_millisecond() <= until) && is_held(&found) && !is_paused(&found) {
        release(shared, name, UNREADABLE, tell).await;
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
    let settled = readings.filter_map(|(stream, held)| match held {
        Held::Record(stored) => stored.record.machine.is_settled().then_some((stream, stored.version)),
        Held::Memento(version) => Some((stream, version)),
    });
    settled.collect()
}

/// The streams whose end the api should have acknowledged a day ago. It is told on, as long as they are there; where they are not, it closes
/// their rows because it finds no broadcast for them.
fn unheard(cache: &Cache, now: UnixMillis) -> Vec<(StreamId, &'static str)> {
    let until = now.0.saturating_sub(HELD_FOR_MS);
    let held = unpaused(cache).filter(|(_, resource)| is_held(*resource));
    let unheard = held.filter_map(|(stream, resource)| {
        let shown = resource.status.as_ref().and_then(|status| status.ended_at.as_ref()).map(|at| at.0);
        // One that was deleted should be over within minutes.
        let deleted = resource.metadata.deletion_timestamp.as_ref().map(|at| at.0);
        let long_ago = |at: Timestamp| at.as_millisecond() <= until;
        // What is shown only tells which records are worth a look.
        if !shown.or(deleted).is_some_and(long_ago) {
            return None;
        }
        match cache.read(stream) {
            Some(Ok(Held::Record(stored))) => {
                let ended = stored.record.machine.status(None).ended_at.map(|at| at.0 <= until);
                let due = ended.unwrap_or_else(|| deleted.is_some_and(long_ago));
                due.then_some((stream, UNACKNOWLEDGED))
            }
            Some(Err(_)) => deleted.is_some_and(long_ago).then_some((stream, UNREADABLE)),
            Some(Ok(Held::Memento(_))) | None => None,
        }
    });
    unheard.collect()
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

const UNACKNOWLEDGED: &str = "the api has not acknowledged the end of this broadcast for a day";
const UNREADABLE: &str = "it was deleted a day ago, and what the operator has stored of it cannot be read";
/// An api that is away for longer has to find out by itself, and a namespace is not held up for ever.
const HELD_FOR_MS: i64 = 24 * 60 * 60 * 1_000;
/// Nobody waits for it.
const EACH: Duration = Duration::from_secs(10);
/// So that the end of a big event takes nothing from the streams that run.
const AT_ONCE: usize = 4;
