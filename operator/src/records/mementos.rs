//! Ended broadcasts that stay for people to read, until their time is over.

use std::time::Duration;

use caudal_controller::StoreError;
use caudal_livestream::{StreamId, UnixMillis};
use futures::StreamExt as _;
use tokio::time::sleep;

use super::Shared;
use super::cache::Cache;
use super::reading::memento_until;

pub(super) async fn collect(shared: &Shared) {
    loop {
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
        sleep(EACH).await;
    }
}

/// The streams whose time is over, and that the controller has nothing to do for.
fn due(cache: &Cache, now: UnixMillis) -> Vec<StreamId> {
    let over =
        cache.resources().filter(|(_, resource)| memento_until(resource).is_some_and(|until| until <= now));
    over.map(|(stream, _)| stream).collect()
}

/// Nobody waits for it.
const EACH: Duration = Duration::from_secs(10);
/// So that the end of a big event takes nothing from the streams that run.
const AT_ONCE: usize = 4;
