//! How far a publisher's media may run ahead of the wall clock.

use caudal_livestream::UnixMillis;

/// Tells media that comes faster than it plays from a clock that merely drifts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The lead that counts as none, in microseconds: it follows the real one slowly, because crystals differ and a
    /// broadcast that lasts for weeks gathers minutes.
    usual: i64,
    seen: UnixMillis,
    /// True from the tag that was too far ahead until the wall clock has caught up.
    ahead: bool,
}

/// What the pace says to a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// The first tag that is too far ahead.
    TooFast,
    StillTooFast,
    /// The wall clock has caught up: media may begin anew.
    CaughtUp,
}

impl Pace {
    /// `lead` is how many milliseconds the media is ahead of the wall clock now.
    pub(super) fn new(lead: i64, now: UnixMillis) -> Self {
        Self { usual: lead.max(0).saturating_mul(1000), seen: now, ahead: false }
    }

    /// `lead` is that of the tag, or where media that is being dropped ended.
    pub(super) fn judge(&mut self, lead: i64, now: UnixMillis) -> Verdict {
        let passed = now.0.saturating_sub(self.seen.0).max(0);
        self.seen = now;
        let reach = passed.saturating_mul(1000) / DRIFT;
        let wanted = lead.saturating_mul(1000);
        self.usual = self.usual.saturating_add(wanted.saturating_sub(self.usual).clamp(-reach, reach)).max(0);
        let excess = lead.saturating_sub(self.usual / 1000);
        match (self.ahead, excess) {
            (false, excess) if excess > MAX_LEAD_MS => {
                self.ahead = true;
                Verdict::TooFast
            }
            (false, _) => Verdict::Fine,
            (true, excess) if excess > MAX_LEAD_MS / 2 => Verdict::StillTooFast,
            (true, _) => {
                self.ahead = false;
                Verdict::CaughtUp
            }
        }
    }

    pub(super) fn is_ahead(&self) -> bool {
        self.ahead
    }
}

/// The router's replay of two GOPs and 15 s comes at once, and is no more than this for GOPs of up to six seconds.
const MAX_LEAD_MS: i64 = 20_000;
/// A five-hundredth: twice what an encoder gathers that stamps 30 frames a second on 29.97. A publisher that is faster
/// than that by a little would lead by hours within days.
const DRIFT: i64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_up_to_twenty_seconds_and_again_when_the_wall_clock_is_nearer() {
        let mut pace = Pace::new(0, UnixMillis(0));
        assert_eq!(pace.judge(20_000, UnixMillis(0)), Verdict::Fine);
        assert_eq!(pace.judge(20_040, UnixMillis(0)), Verdict::TooFast);
        assert_eq!(pace.judge(20_000, UnixMillis(0)), Verdict::StillTooFast);
        assert_eq!(pace.judge(11_000, UnixMillis(9_000)), Verdict::StillTooFast);
        assert_eq!(pace.judge(9_000, UnixMillis(11_000)), Verdict::CaughtUp);
        assert_eq!(pace.judge(9_000, UnixMillis(11_000)), Verdict::Fine);
    }

    #[test]
    fn a_publisher_that_is_a_hundredth_too_fast_leads_by_minutes_after_a_day_and_not_by_a_quarter_of_an_hour()
    {
        let mut pace = Pace::new(0, UnixMillis(0));
        let (mut lead, mut longest) = (0, 0);
        for second in 0..86_400_i64 {
            lead = match pace.judge(lead + 10, UnixMillis(second * 1000)) {
                Verdict::Fine => lead + 10,
                Verdict::CaughtUp => lead,
                Verdict::TooFast | Verdict::StillTooFast => lead - 1000,
            };
            longest = longest.max(lead);
        }
        assert!(longest <= 200_000, "{longest}");
    }

    #[test]
    fn a_clock_that_runs_a_thousandth_too_fast_is_never_too_fast() {
        let mut pace = Pace::new(0, UnixMillis(0));
        for second in 0..3_000_000_i64 {
            let verdict = pace.judge(second, UnixMillis(second * 1000));
            assert_eq!(verdict, Verdict::Fine, "after {second} s");
        }
    }
}
