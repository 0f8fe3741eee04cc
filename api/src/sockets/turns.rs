//! When each socket is to go, where all have to: not in one instant, in which all of them would come back elsewhere.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Of one replica's sockets.
#[derive(Debug, Default)]
pub(super) struct Turns {
    next: AtomicU64,
    /// Since when they go, and for how long.
    going: OnceLock<(Instant, Duration)>,
}

/// A share of the time, in parts of 2³².
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u32);

impl Turns {
    /// The place of one more: such that any that follow each other are spread evenly.
    pub(super) fn place(&self) -> Place {
        Place::of(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Sockets go from now on.
    pub(super) fn begin(&self, spread: Duration) {
        // Whoever says it first has said it.
        let _ = self.going.set((Instant::now(), spread));
    }

    /// Waits for a turn, once they go.
    pub(super) async fn come(&self, place: Place) {
        if let Some((began, spread)) = self.going.get() {
            sleep_until(*began + place.within(*spread)).await;
        }
    }
}

impl Place {
    fn of(number: u64) -> Self {
        let [a, b, c, d, ..] = number.wrapping_mul(GOLDEN).to_be_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }

    fn within(self, spread: Duration) -> Duration {
        spread.mul_f64(f64::from(self.0) / f64::from(u32::MAX))
    }
}

/// 2⁶⁴ by the golden ratio: its multiples are spread evenly, however many there are (Knuth, volume 3, 6.4).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_over_the_whole_time_wherever_their_numbers_begin() {
        let spread = Duration::from_secs(100);
        for first in [0, 7, 123_456_789, u64::MAX - 1_000] {
            let mut in_each_second = [0; 101];
            for number in first..first + 1_000 {
                let turn = Place::of(number).within(spread);
                in_each_second[usize::try_from(turn.as_secs()).unwrap()] += 1;
            }
            assert!(in_each_second[..100].iter().all(|count| (8..=12).contains(count)), "{in_each_second:?}");
        }
        assert_eq!(Place::of(9).within(Duration::ZERO), Duration::ZERO);
        assert!(Place(u32::MAX).within(spread) <= spread);
    }
}
