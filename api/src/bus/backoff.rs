//! When to try a connection again.

use std::time::Duration;

/// Doubles the pause while connections fail or break soon.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// How long to wait after a try that ended, successful or not, after `lasted`.
    pub(super) fn after(&mut self, lasted: Duration) -> Duration {
        let pause = match self.last {
            Some(last) if lasted < STEADY => last.saturating_mul(2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(pause);
        pause
    }
}

/// Redis restarts in a fraction of a second.
const FIRST: Duration = Duration::from_millis(100);
/// What is missed grows with it, so it is short; a try a replica in that time is no load.
const LONGEST: Duration = Duration::from_secs(5);
/// A connection that lasted so long was a good one. Longer than a try may take.
const STEADY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_five_seconds_and_begins_anew_after_a_connection_that_lasted() {
        let (mut backoff, soon) = (Backoff::default(), Duration::from_secs(2));
        let pauses: Vec<_> = (0..8).map(|_| backoff.after(soon).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.after(STEADY), FIRST);
        assert_eq!(backoff.after(soon), FIRST * 2);
    }
}
