//! When a job that failed is tried again.

use std::time::Duration;

/// The pause after so many attempts, the first one being 1: twice as long each time, up to [`LONGEST`]. `random`, from 0
/// to 1, spreads what failed together over the second half of it.
pub(crate) fn pause(attempts: u32, random: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let whole = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    whole.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

const FIRST: Duration = Duration::from_secs(1);
/// What comes back after an outage is noticed within ten minutes.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_ten_minutes() {
        for (attempts, random, millis) in [
            (1, 1.0, 1_000),
            (1, 0.0, 500),
            (2, 1.0, 2_000),
            (3, 0.5, 3_000),
            (10, 1.0, 512_000),
            (11, 1.0, 600_000),
            (u32::MAX, 1.0, 600_000),
            (u32::MAX, 0.0, 300_000),
            (0, 1.0, 1_000),
        ] {
            assert_eq!(pause(attempts, random), Duration::from_millis(millis), "{attempts} {random}");
        }
    }
}
