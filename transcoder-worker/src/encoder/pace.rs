//! Whether ffmpeg keeps up.

use std::time::Duration;

use tokio::time::Instant;

/// Compares what went into a child with what came out of its slowest rung.
#[derive(Debug)]
pub(crate) struct Pace {
    first_in: Option<i64>,
    newest_in: Option<i64>,
    slowest_out: Option<i64>,
    last_out: Instant,
    /// Since when more is inside the child than it may hold back.
    owes_since: Instant,
    sample: Sample,
    slow_for: u32,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    out: Option<i64>,
    lag: i64,
}

/// What is to be done about a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    KeepsUp,
    /// Below real time for five seconds.
    TooSlow,
    /// Frames go in and none come out.
    Hung,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        let sample = Sample { at: now, out: None, lag: 0 };
        Self {
            first_in: None,
            newest_in: None,
            slowest_out: None,
            last_out: now,
            owes_since: now,
            sample,
            slow_for: 0,
        }
    }

    /// A frame was given to the child.
    pub(crate) fn input(&mut self, timestamp_ms: i64, now: Instant) {
        // A publisher that was away comes back with a jump, which is not the child's debt until now.
        let first_in = *self.first_in.get_or_insert(timestamp_ms);
        if self.newest_in.is_none_or(|_| self.lag(first_in) <= LAG_ALLOWED) {
            self.owes_since = now;
        }
        self.newest_in = Some(timestamp_ms);
    }

    /// The slowest rung's newest frame.
    pub(crate) fn output(&mut self, timestamp_ms: i64, now: Instant) {
        if self.slowest_out != Some(timestamp_ms) {
            self.slowest_out = Some(timestamp_ms);
            self.last_out = now;
        }
    }

    /// Media time that is inside the child.
    fn lag(&self, first_in: i64) -> i64 {
        let newest = self.newest_in.unwrap_or(first_in);
        newest.saturating_sub(self.slowest_out.unwrap_or(first_in))
    }

    /// True if the last look did not find the child falling behind.
    pub(crate) fn keeps_up(&self) -> bool {
        self.slow_for == 0
    }

    /// Looks once a second. `first_in` is where the child began; the speed is media time by wall time.
    pub(crate) fn judge(&mut self, first_in: i64, now: Instant) -> (Judgement, f64) {
        let lag = self.lag(first_in);
        let passed = now.duration_since(self.sample.at).as_secs_f64();
        let out = self.slowest_out.unwrap_or(first_in).saturating_sub(self.sample.out.unwrap_or(first_in));
        let out = u32::try_from(out).unwrap_or(u32::MAX);
        let speed = if passed > 0.0 { f64::from(out) / 1000.0 / passed } else { 0.0 };
        // A child that was just fed a kept GOP is behind and catches up: only one that falls back further is slow.
        if lag > LAG_ALLOWED && lag >= self.sample.lag {
            self.slow_for = self.slow_for.saturating_add(1);
        } else {
            self.slow_for = 0;
        }
        self.sample = Sample { at: now, out: self.slowest_out, lag };
        let judgement =
            if lag > LAG_ALLOWED && now.duration_since(self.last_out.max(self.owes_since)) > HUNG_AFTER {
                Judgement::Hung
            } else if self.slow_for >= SLOW_SAMPLES {
                Judgement::TooSlow
            } else {
                Judgement::KeepsUp
            };
        (judgement, speed)
    }
}

/// Three times what the slowest measured recipe holds back, and well below a hold-back of 0.6 s on top of it.
const LAG_ALLOWED: i64 = 300;
/// ARCHITECTURE §5: below real time for 5 s, looked at each second.
const SLOW_SAMPLES: u32 = 5;
/// Starting up takes 0.2 s; nothing for so long is not slowness.
const HUNG_AFTER: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lag_at: impl Fn(i64) -> i64, seconds: i64) -> Vec<Judgement> {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        (1..=seconds)
            .map(|second| {
                let now = begun + Duration::from_secs(second.unsigned_abs());
                let newest = 10_000 + second * 1000;
                pace.input(newest, now);
                pace.output(newest - lag_at(second), now);
                pace.judge(10_000, now).0
            })
            .collect()
    }

    #[test]
    fn a_child_that_holds_little_back_keeps_up() {
        assert_eq!(run(|_| 90, 20), [Judgement::KeepsUp; 20]);
    }

    #[test]
    fn one_that_catches_up_after_a_start_is_not_slow() {
        assert_eq!(run(|second| (2000 - second * 300).max(0), 12), [Judgement::KeepsUp; 12]);
    }

    #[test]
    fn one_that_falls_further_back_is_too_slow_after_five_seconds() {
        let judged = run(|second| second * 200, 8);
        assert_eq!(judged[..5], [Judgement::KeepsUp; 5]);
        assert_eq!(judged[6], Judgement::TooSlow);
    }

    #[test]
    fn one_that_says_nothing_is_hung() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        for tenth in 1..=40_i64 {
            let now = begun + Duration::from_millis((tenth * 100).unsigned_abs());
            pace.input(10_000 + tenth * 100, now);
            if tenth % 10 == 0 {
                let expected = if tenth > 30 { Judgement::Hung } else { Judgement::KeepsUp };
                assert_eq!(pace.judge(10_000, now).0, expected, "{tenth}");
            }
        }
    }

    #[test]
    fn one_whose_publisher_comes_back_is_not_hung() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        pace.input(11_000, begun);
        pace.output(10_960, begun);
        let back = begun + Duration::from_secs(10);
        pace.input(21_000, back);
        assert_eq!(pace.judge(10_000, back + Duration::from_millis(1)).0, Judgement::KeepsUp);
    }

    #[test]
    fn one_that_gets_nothing_is_neither() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        pace.input(11_000, begun);
        pace.output(11_000, begun);
        assert_eq!(pace.judge(10_000, begun + Duration::from_secs(60)).0, Judgement::KeepsUp);
    }
}
