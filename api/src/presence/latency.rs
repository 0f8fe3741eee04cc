//! How late viewers see the picture, as their players tell.

use chrono::{DateTime, Utc};

/// From the server's receiving of a picture until a viewer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Latency(u16);

impl Latency {
    /// Of a picture that was received at `received` (the stream's PROGRAM-DATE-TIME), and is on the screen `now`. None for what
    /// no live player shows, so that nothing but plausible times counts. The viewer's own clock, which may be wrong, has no part in
    /// this.
    pub(crate) fn between(received: DateTime<Utc>, now: DateTime<Utc>) -> Option<Self> {
        let late = now.signed_duration_since(received).num_milliseconds();
        let plausible = (EARLIEST_MS..=LATEST_MS).contains(&late);
        plausible.then(|| u16::try_from(late.max(0)).ok().map(Self)).flatten()
    }

    pub(crate) fn seconds(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

/// What several viewers told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latencies {
    /// How many told theirs.
    pub(super) reporters: u32,
    /// Of all theirs, in milliseconds.
    pub(super) total_ms: u64,
}

impl Latencies {
    /// Milliseconds; none where nobody told theirs.
    pub(crate) fn mean_ms(self) -> Option<u64> {
        let reporters = u64::from(self.reporters);
        // Rounded to the nearest.
        self.total_ms.saturating_add(reporters / 2).checked_div(reporters)
    }

    pub(super) fn and(self, others: Self) -> Self {
        Self {
            reporters: self.reporters.saturating_add(others.reporters),
            total_ms: self.total_ms.saturating_add(others.total_ms),
        }
    }
}

impl FromIterator<Latency> for Latencies {
    fn from_iter<I: IntoIterator<Item = Latency>>(all: I) -> Self {
        all.into_iter()
            .fold(Self::default(), |sum, Latency(ms)| sum.and(Self { reporters: 1, total_ms: ms.into() }))
    }
}

/// The clocks of servers are a little apart.
const EARLIEST_MS: i64 = -1_000;
/// Whoever is later than this has gone back in time, or invents it.
const LATEST_MS: i64 = 60_000;

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn what_no_live_player_shows_is_no_latency() {
        let now = DateTime::from_timestamp(1_764_480_000, 0).unwrap();
        for (ms, latency) in [
            (0, Some(0)),
            (2_345, Some(2_345)),
            (60_000, Some(60_000)),
            (60_001, None),
            (86_400_000, None),
            (-999, Some(0)),
            (-1_000, Some(0)),
            (-1_001, None),
        ] {
            let received = now - TimeDelta::milliseconds(ms);
            assert_eq!(Latency::between(received, now), latency.map(Latency), "{ms}");
        }
        for end_of_time in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert_eq!(Latency::between(end_of_time, now), None);
            assert_eq!(Latency::between(now, end_of_time), None);
        }
    }

    #[test]
    fn a_mean_is_of_those_who_told_theirs() {
        let of = |ms: &[u16]| ms.iter().copied().map(Latency).collect::<Latencies>();
        for (ms, mean) in [
            (&[][..], None),
            (&[0], Some(0)),
            (&[2_000, 3_000], Some(2_500)),
            (&[1, 2], Some(2)),
            (&[1, 1, 2], Some(1)),
        ] {
            assert_eq!(of(ms).mean_ms(), mean, "{ms:?}");
        }
        assert_eq!(of(&[1_000]).and(of(&[2_000, 3_000])), of(&[1_000, 2_000, 3_000]));
    }
}
