//! A controller's own clock, as its reader knows it. By this a command says until when its caller waits: the wall clocks of two
//! machines need not agree, and a controller that was stopped for a while finds old commands before it.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::wire::Moment;

/// What is known of it.
#[derive(Debug)]
pub(super) struct ControllerClock {
    began: Instant,
    /// The controller's process, and by how many milliseconds its clock is ahead of this one at least: each word of it takes
    /// a while to be heard, so the most that was seen is nearest to the truth. When that was seen, because the clocks of two
    /// machines drift apart.
    ahead: Option<(Uuid, i64, Instant)>,
}

impl ControllerClock {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), ahead: None }
    }

    /// The controller has said, at that moment of its own, what was heard now.
    pub(super) fn heard(&mut self, said: Moment, now: Instant) {
        let ahead = i64::try_from(said.ms).unwrap_or(i64::MAX).saturating_sub(self.since_began(now));
        let still_nearer = |&(run, seen, at): &(Uuid, i64, Instant)| {
            let drift = millis(now.saturating_duration_since(at) / DRIFT).try_into().unwrap_or(i64::MAX);
            run == said.run && seen.saturating_sub(drift) > ahead
        };
        if !self.ahead.as_ref().is_some_and(still_nearer) {
            self.ahead = Some((said.run, ahead, now));
        }
    }

    /// What the controller's clock shows at `instant`; none while no controller has said what it shows.
    pub(super) fn at(&self, instant: Instant) -> Option<Moment> {
        let (run, ahead, _) = self.ahead?;
        let ms = self.since_began(instant).saturating_add(ahead);
        Some(Moment { run, ms: u64::try_from(ms).unwrap_or_default() })
    }

    fn since_began(&self, instant: Instant) -> i64 {
        millis(instant.saturating_duration_since(self.began)).try_into().unwrap_or(i64::MAX)
    }
}

/// A clock is wrong by less than a thousandth (1000 ppm); NTP itself corrects by half of that at most.
const DRIFT: u32 = 1_000;

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_heard_soonest_tells_the_time_of_this_controller_and_nothing_of_the_next_one() {
        let mut clock = ControllerClock::new();
        let began = clock.began;
        let seconds = |seconds| began + Duration::from_secs(seconds);
        let (at_10, at_20, at_30) = (seconds(10), seconds(20), seconds(30));
        assert_eq!(clock.at(at_10), None);
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        clock.heard(Moment { run: first, ms: 1_000 }, at_10);
        assert_eq!(clock.at(at_20), Some(Moment { run: first, ms: 11_000 }));
        // It was on its way for three seconds less, and the next one for longer.
        clock.heard(Moment { run: first, ms: 14_000 }, at_20);
        clock.heard(Moment { run: first, ms: 15_000 }, at_30);
        assert_eq!(clock.at(at_30), Some(Moment { run: first, ms: 24_000 }));
        // What was heard soonest may be wrong by drift since, a second in a thousand.
        let later = seconds(20 + 4_000);
        clock.heard(Moment { run: first, ms: 4_010_500 }, later);
        assert_eq!(clock.at(later), Some(Moment { run: first, ms: 4_010_500 }));
        clock.heard(Moment { run: second, ms: 5 }, at_30);
        assert_eq!(clock.at(at_30), Some(Moment { run: second, ms: 5 }));
    }
}
