//! The wall clock of one worker.

use std::time::{SystemTime, UNIX_EPOCH};

use caudal_livestream::UnixMillis;
use tokio::time::Instant;

/// Wall-clock time that never steps: read once, and from then on moved by the monotonic clock, because media's dates
/// must not run backwards when the machine's clock is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    unix_at_start: i64,
    start: Instant,
}

impl WallClock {
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Self { unix_at_start: i64::try_from(unix).unwrap_or(i64::MAX), start: Instant::now() }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        let passed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        UnixMillis(self.unix_at_start.saturating_add(passed))
    }
}
