//! A bitrate limit that forgives bursts.

use std::time::Instant;

use crate::limits::BITRATE_WINDOW;

/// A token bucket: full, it holds what the limit allows in [`BITRATE_WINDOW`].
#[derive(Debug)]
pub(crate) struct BitrateGuard {
    limit: u64,
    bits_left: u64,
    refilled_at: Instant,
}

impl BitrateGuard {
    pub(crate) fn new(limit: u64, now: Instant) -> Self {
        Self { limit, bits_left: capacity(limit), refilled_at: now }
    }

    /// Whether `bytes` more may have arrived by `now`.
    pub(crate) fn allows(&mut self, now: Instant, bytes: usize) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled_at).min(BITRATE_WINDOW);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let refill = self.limit.saturating_mul(micros) / 1_000_000;
        if refill > 0 {
            self.bits_left = self.bits_left.saturating_add(refill).min(capacity(self.limit));
            self.refilled_at = now;
        }
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
        match self.bits_left.checked_sub(bits) {
            Some(left) => {
                self.bits_left = left;
                true
            }
            None => false,
        }
    }
}

fn capacity(limit: u64) -> u64 {
    limit.saturating_mul(BITRATE_WINDOW.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_after_a_stall_is_forgiven_and_a_lasting_excess_is_not() {
        let start = Instant::now();
        let mut guard = BitrateGuard::new(8_000_000, start);
        // 1 MB/s allowed: 5 s of nothing, then what would have come, at once.
        let burst = start + Duration::from_secs(5);
        assert!(guard.allows(burst, 5_000_000));
        // Then 1.5 MB/s: the 5 MB that are left in the bucket shrink by half a megabyte a second.
        let lasted = (1..).take_while(|second| guard.allows(burst + Duration::from_secs(*second), 1_500_000));
        assert_eq!(lasted.count(), 10);
    }

    #[test]
    fn many_small_reads_count_like_one() {
        let start = Instant::now();
        let mut guard = BitrateGuard::new(1_000_000, start);
        let mut taken = 0;
        for micro in 0..20_000_000_u64 / 50 {
            if !guard.allows(start + Duration::from_micros(micro * 50), 10) {
                break;
            }
            taken += 10;
        }
        // 80 bits each 50 µs are 1.6 Mb/s: the bucket of 10 Mbit lasts 10/0.6 s.
        let seconds = f64::from(taken) * 8.0 / 1_600_000.0;
        assert!((seconds - 16.67).abs() < 0.05, "{seconds}");
    }
}
