//! When a broadcast's state is written.

use std::time::Duration;

use tokio::time::Instant;

/// Whether the state has changed since it was last written, and may be written.
///
/// While segments are still being rebuilt, the earlier epoch's state is the better one to resume from.
#[derive(Debug, Default)]
pub(super) struct StandingDue {
    changed: bool,
    /// When the first relay was opened.
    up_since: Option<Instant>,
}

impl StandingDue {
    /// A relay is open. Later ones bring no more of the replay than the first one did.
    pub(super) fn up(&mut self, now: Instant) {
        self.up_since.get_or_insert(now);
    }

    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// True once for every change, as soon as it may be written.
    pub(super) fn take(&mut self, is_rebuilding: bool, now: Instant) -> bool {
        let replayed = self.up_since.is_some_and(|since| now.duration_since(since) >= REPLAYED_WITHIN);
        let due = self.changed && (replayed || !is_rebuilding);
        self.changed &= !due;
        due
    }
}

/// A router sends its replay at once. What it lacks never comes, and the state is written all the same.
const REPLAYED_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_during_the_replay_is_written_when_the_replay_is_over_or_has_taken_too_long() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (rebuilt_at, written_at) in [(0, 1), (3, 3), (60, 10)] {
            let mut due = StandingDue::default();
            due.up(start);
            due.changed();
            // The relay is lost and comes back.
            due.up(at(5));
            let written: Vec<u64> = (1..20).filter(|now| due.take(*now < rebuilt_at, at(*now))).collect();
            assert_eq!(written, [written_at], "rebuilt at {rebuilt_at} s");
        }
    }
}
