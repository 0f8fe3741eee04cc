//! When a stream's jobs begin again after one of them has failed.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// A job that fails each time must not be begun, and begin all others, as fast as a core can.
pub(super) struct FailedJobs {
    backoff: Backoff,
    last: Option<Instant>,
    /// Nothing is begun until a pause is over.
    pub(super) waiting: bool,
}

impl Default for FailedJobs {
    fn default() -> Self {
        Self { backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE), last: None, waiting: false }
    }
}

impl FailedJobs {
    /// One has failed: for so long nothing is begun.
    pub(super) fn pause(&mut self) -> Duration {
        if self.last.is_some_and(|last| last.elapsed() >= CALM) {
            self.backoff.reset();
        }
        self.last = Some(Instant::now());
        self.waiting = true;
        self.backoff.pause()
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Whatever the stream needs besides, as another worker, waits for so long too.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What fails after so long is not what failed before.
const CALM: Duration = Duration::from_mins(1);
