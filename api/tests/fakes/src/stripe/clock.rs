//! The fake's time: the machine's, and as far ahead as a test moved it.

use chrono::{DateTime, Months, Utc};

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead: i64,
    /// While something happens: the one instant at which all of it does.
    held: Option<i64>,
}

impl Clock {
    /// In Unix seconds, as all of Stripe's times.
    pub(crate) fn now(&self) -> i64 {
        self.held.unwrap_or_else(|| Utc::now().timestamp() + self.ahead)
    }

    pub(crate) fn move_ahead(&mut self, seconds: i64) {
        self.ahead += seconds;
        self.held = self.held.map(|held| held + seconds);
    }

    /// Stands still at an instant, or goes on; returns what it did before.
    pub(crate) fn hold(&mut self, at: Option<i64>) -> Option<i64> {
        std::mem::replace(&mut self.held, at)
    }
}

/// So many calendar months after an anchor. A month without the anchor's day ends the period on its last day, and the next month
/// has the anchor's day again: that is why periods are counted from the anchor and not from each other.
pub(crate) fn months_after(anchor: i64, months: u32) -> i64 {
    date(anchor).checked_add_months(Months::new(months)).unwrap().timestamp()
}

pub(crate) fn date(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_after_the_31st_of_january_is_the_28th_of_february_and_then_the_31st_of_march() {
        let anchor = DateTime::parse_from_rfc3339("2027-01-31T12:00:00Z").unwrap().timestamp();
        let days = [1, 2, 3].map(|months| date(months_after(anchor, months)).format("%m-%d").to_string());
        assert_eq!(days, ["02-28", "03-31", "04-30"]);
    }
}
