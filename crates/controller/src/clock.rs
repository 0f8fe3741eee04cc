//! The controller's clock: wall time, as it is stored and shown, that moves as a clock does that nobody sets.
//!
//! Waiting goes by tokio's clock, which is the machine's monotonic one: it stands still while the machine is suspended.
//! Nobody could be heard during that time, so it does not count as waiting either, and a publisher that comes back after
//! a laptop was opened finds the whole rest of its window.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caudal_livestream::UnixMillis;
use tokio::time::Instant;

/// Where wall time comes from: the system, or a test that turns it.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// One stream's view of the time.
pub(crate) struct SteadyClock {
    wall: WallClock,
    /// What the wall clock said at `since`.
    agreed: UnixMillis,
    since: Instant,
}

impl SteadyClock {
    pub(crate) fn start(wall: WallClock) -> Self {
        let agreed = read(&wall);
        Self { wall, agreed, since: Instant::now() }
    }

    /// The time, as if the wall clock had not been set since [`take_step`](Self::take_step).
    pub(crate) fn now(&self) -> UnixMillis {
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        UnixMillis(self.agreed.0.saturating_add(passed))
    }

    /// By how much the wall clock was set forward (or back, below zero) since the last call. Small steps are told
    /// once they add up: the wall clock is slewed all the time.
    pub(crate) fn take_step(&mut self) -> Option<i64> {
        let wall = read(&self.wall);
        let step = wall.0.saturating_sub(self.now().0);
        if step.abs() < NOTICEABLE_MS {
            return None;
        }
        (self.agreed, self.since) = (wall, Instant::now());
        Some(step)
    }

    /// How long to wait for `instant`; at least a moment, so that a wait that has just passed never spins.
    pub(crate) fn until(&self, instant: UnixMillis) -> Duration {
        let left = u64::try_from(instant.0.saturating_sub(self.now().0)).unwrap_or(0);
        Duration::from_millis(left.max(1))
    }
}

/// What a wall clock says, in milliseconds since 1970.
pub fn read(wall: &WallClock) -> UnixMillis {
    let since = wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The shortest wait of a stream is three seconds.
const NOTICEABLE_MS: i64 = 500;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_takes_as_long_as_it_was_meant_to_however_the_wall_clock_is_set() {
        for step_ms in [-3_600_000, -600, 0, 600, 3_600_000, 31_536_000_000] {
            let begun = Instant::now();
            let set_by = Arc::new(AtomicI64::new(0));
            let turned = Arc::clone(&set_by);
            let wall: WallClock = Arc::new(move || {
                let now = 1_800_000_000_000 + i64::try_from(begun.elapsed().as_millis()).unwrap();
                let now = now + turned.load(Ordering::Relaxed);
                UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap())
            });
            let mut clock = SteadyClock::start(wall);
            let mut deadline = UnixMillis(clock.now().0 + 30_000);
            tokio::time::advance(Duration::from_secs(10)).await;
            set_by.store(step_ms, Ordering::Relaxed);
            assert_eq!(clock.until(deadline), Duration::from_secs(20), "before the step is noticed");
            let step = clock.take_step();
            assert_eq!(step, (step_ms != 0).then_some(step_ms));
            deadline.0 += step.unwrap_or(0);
            assert_eq!(clock.until(deadline), Duration::from_secs(20), "{step_ms}");
            assert_eq!(clock.take_step(), None, "told once");
        }
    }
}
