//! When a message that did not arrive is sent again.

use std::time::Duration;

/// The pause after so many tries, the first one being 1; none when it is given up. `random`, from 0 to 1, spreads what failed
/// together over the last fifth of it.
pub(super) fn pause(attempts: i32, random: f64) -> Option<Duration> {
    let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(0);
    let whole = Duration::from_secs(*PAUSES.get(place)?);
    Some(whole.mul_f64(0.8 + 0.2 * random.clamp(0.0, 1.0)))
}

/// In seconds: with them somebody has a day to bring a server back.
const PAUSES: [u64; 12] = [10, 30, 60, 300, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 21_600];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_given_up_after_about_a_day() {
        for (attempts, random, seconds) in [
            (0, 1.0, Some(10)),
            (1, 1.0, Some(10)),
            (1, 0.0, Some(8)),
            (2, 1.0, Some(30)),
            (12, 1.0, Some(21_600)),
            (13, 1.0, None),
            (i32::MAX, 0.0, None),
        ] {
            assert_eq!(pause(attempts, random), seconds.map(Duration::from_secs), "{attempts} {random}");
        }
        let all: u64 = PAUSES.iter().sum();
        assert!((20 * 3600..26 * 3600).contains(&all), "{all}");
    }
}
