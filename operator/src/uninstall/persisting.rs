//! Calls that are made again while what they failed with may pass.

use std::time::Duration;

use caudal_kubernetes::calls::Failure;
use tokio::time::{Instant, sleep, timeout_at};

/// Tries until it succeeds, or fails with what another try does not change; no longer than `by`.
pub(super) async fn persist<T>(
    by: Instant,
    mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut last = Failure::Unavailable("no answer in time".to_owned());
    loop {
        match timeout_at(by, attempt()).await {
            Ok(Err(error)) if passes(&error) => last = error,
            Ok(outcome) => return outcome,
            Err(_) => return Err(last),
        }
        if Instant::now() + AGAIN > by {
            return Err(last);
        }
        sleep(AGAIN).await;
    }
}

/// Whether another try may succeed by itself.
pub(super) fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Conflict | Failure::Unavailable(_) => true,
        Failure::AlreadyExists
        | Failure::NotFound
        | Failure::Quota(_)
        | Failure::Refused(_)
        | Failure::Forbidden(_) => false,
    }
}

const AGAIN: Duration = Duration::from_millis(500);
