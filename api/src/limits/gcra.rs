//! The generic cell rate algorithm: one instant a bucket, no clock of its own. `redis.rs` has the same in Lua.

use std::time::Duration;

/// `burst` at once, refilled evenly over the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) burst: u32,
    /// After which one more is allowed.
    pub(crate) interval: Duration,
}

impl Quota {
    pub(crate) fn new(burst: u32, window: Duration) -> Self {
        let burst = burst.max(1);
        Self { burst, interval: window / burst }
    }

    /// Half of `count` at once, and the other half evenly over the window: what a burst leaves and what refills meanwhile are
    /// together never more than `count` in any window. A `count` of 1 may come twice.
    pub(crate) fn in_any_window(count: u32, window: Duration) -> Self {
        let burst = count.div_ceil(2).max(1);
        Self { burst, interval: window / count.saturating_sub(burst).max(1) }
    }

    /// In which an empty bucket fills.
    fn window(self) -> Duration {
        self.interval * self.burst
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Requests that would be let in at once.
    pub(crate) remaining: u32,
    /// Until the bucket is as if nobody had asked.
    pub(crate) full_after: Duration,
    /// Set when the request is refused: when the next one is let in.
    pub(crate) retry_after: Option<Duration>,
}

/// The instant at which a bucket will be full again, since any fixed epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FullAt(pub(crate) Duration);

impl FullAt {
    /// Counts a request at `now`; a refused one does not count.
    pub(crate) fn count(&mut self, quota: Quota, now: Duration) -> Verdict {
        // A value beyond `now + window` was stored before the clock was set back.
        let full_at = self.0.clamp(now, now + quota.window()) + quota.interval;
        let (full_at, retry_after) = match full_at.checked_sub(now + quota.window()) {
            None | Some(Duration::ZERO) => (full_at, None),
            Some(too_early) => (full_at.saturating_sub(quota.interval), Some(too_early)),
        };
        self.0 = full_at;
        let full_after = full_at.saturating_sub(now);
        let room = quota.window().saturating_sub(full_after);
        let remaining = room.as_nanos().checked_div(quota.interval.as_nanos()).unwrap_or(0);
        Verdict { remaining: u32::try_from(remaining).unwrap_or(u32::MAX), full_after, retry_after }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_hundred_and_first_request_of_a_burst_waits_for_its_turn() {
        let (quota, now) = (Quota::new(100, MINUTE), Duration::from_secs(1_000));
        let mut bucket = FullAt::default();
        for left in (0..100).rev() {
            let verdict = bucket.count(quota, now);
            assert_eq!((verdict.remaining, verdict.retry_after), (left, None));
        }
        assert_eq!(bucket.count(quota, now).retry_after, Some(Duration::from_millis(600)));
        assert_eq!(
            bucket.count(quota, now + Duration::from_millis(599)).retry_after,
            Some(Duration::from_millis(1))
        );
        assert_eq!(bucket.count(quota, now + Duration::from_millis(600)).retry_after, None);
    }

    #[test]
    fn a_clock_that_jumps_back_lends_nothing() {
        let quota = Quota::new(2, MINUTE);
        let mut bucket = FullAt::default();
        assert_eq!(bucket.count(quota, MINUTE).retry_after, None);
        assert_eq!(bucket.count(quota, Duration::from_secs(50)).retry_after, Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_clock_that_was_hours_ahead_makes_nobody_wait_for_hours() {
        let quota = Quota::new(2, MINUTE);
        let (ahead, now) = (Duration::from_secs(8_000), Duration::from_secs(800));
        let mut bucket = FullAt::default();
        for _ in 0..5 {
            bucket.count(quota, ahead);
        }
        assert_eq!(bucket.count(quota, now).retry_after, Some(quota.interval));
        assert_eq!(bucket.count(quota, now + quota.interval).retry_after, None);
    }

    /// When requests were let in that came after these pauses, in milliseconds.
    fn let_in(quota: Quota, pauses: Vec<u64>) -> Vec<Duration> {
        let (mut bucket, mut now) = (FullAt::default(), Duration::from_secs(1_000));
        let mut let_in = Vec::new();
        for pause in pauses {
            now += Duration::from_millis(pause);
            if bucket.count(quota, now).retry_after.is_none() {
                let_in.push(now);
            }
        }
        let_in
    }

    proptest! {
        #[test]
        fn no_window_lets_in_more_than_a_burst_and_its_refill(
            burst in 1_u32..50,
            pauses in proptest::collection::vec(0_u64..5_000, 1..300),
        ) {
            let quota = Quota::new(burst, MINUTE);
            let let_in = let_in(quota, pauses);
            for (index, first) in let_in.iter().enumerate() {
                for (count, last) in (0_u128..).zip(&let_in[index..]) {
                    let refilled = last.saturating_sub(*first).as_nanos() / quota.interval.as_nanos();
                    prop_assert!(count <= u128::from(burst) + refilled);
                }
            }
        }

        #[test]
        fn no_window_lets_in_more_than_was_promised_for_any(
            count in 2_u32..120,
            pauses in proptest::collection::vec(0_u64..2_000, 1..400),
        ) {
            let let_in = let_in(Quota::in_any_window(count, MINUTE), pauses);
            for (index, first) in let_in.iter().enumerate() {
                let within = let_in[index..].iter().filter(|at| at.saturating_sub(*first) < MINUTE).count();
                prop_assert!(within <= usize::try_from(count).unwrap(), "{within} of {count}");
            }
        }

        #[test]
        fn whoever_waits_as_told_is_let_in(burst in 1_u32..50, asked in 1_usize..120) {
            let (quota, mut now) = (Quota::new(burst, MINUTE), Duration::from_secs(1_000));
            let mut bucket = FullAt::default();
            for _ in 0..asked {
                if let Some(wait) = bucket.count(quota, now).retry_after {
                    now += wait;
                    prop_assert_eq!(bucket.count(quota, now).retry_after, None);
                }
            }
        }
    }
}
