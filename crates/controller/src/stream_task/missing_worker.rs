//! Which of the reasons why a stream has no worker are told: each is a write of its record, and some come by turns.

use std::time::Duration;

use tokio::time::Instant;

/// What was told of one claim.
#[derive(Default)]
pub(super) struct Reasons {
    told: Option<String>,
    /// As if what was told had taken [`APART`] each: nothing is while this is too far ahead.
    paid_until: Option<Instant>,
}

impl Reasons {
    /// Whether this reason is to be told now: it is another one than before, and there were not too many others lately.
    pub(super) fn is_news(&mut self, reason: &str, now: Instant) -> bool {
        if self.told.as_deref() == Some(reason) {
            return false;
        }
        let paid_until = self.paid_until.map_or(now, |until| until.max(now));
        if paid_until.saturating_duration_since(now) > AHEAD {
            return false;
        }
        self.paid_until = Some(paid_until + APART);
        self.told = Some(reason.to_owned());
        true
    }
}

/// Between two reasons that go on changing. A kubelet says by turns that a pull has failed and that it waits before the next.
const APART: Duration = Duration::from_secs(10);
/// So that three come at once: a pod is made, gets no node, and then no image.
const AHEAD: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_at_once_and_those_that_come_by_turns_now_and_then() {
        let (mut reasons, begun) = (Reasons::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert!(reasons.is_news("no pool", at(0)));
        assert!(!reasons.is_news("no pool", at(1)));
        assert!(reasons.is_news("no node", at(2)) && reasons.is_news("no image", at(3)));
        let by_turns = |second| if second % 2 == 0 { "pull failed" } else { "waits" };
        let told = (4..124).filter(|second| reasons.is_news(by_turns(*second), at(*second))).count();
        assert!((10..=13).contains(&told), "{told}");
        // The last one is not lost by that.
        assert!((124..140).any(|second| reasons.is_news("at last", at(second))));
    }
}
