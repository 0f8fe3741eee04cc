//! Pauses between tries of what has to succeed.

use std::time::Duration;

use tokio::time::sleep;

/// Doubles the pause from try to try. No two tasks wait for equally long: what one outage has failed is not asked again all at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses from `first` to `longest`, each up to a quarter shorter by chance.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, next: first, longest }
    }

    /// Waits for as long as the next pause is.
    pub async fn wait(&mut self) {
        sleep(self.pause()).await;
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        self.pause_by(rand::random())
    }

    /// Begins anew: a try has succeeded.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// By chance of 0 to 1.
    fn pause_by(&mut self, chance: f64) -> Duration {
        let pause = self.next.mul_f64(1.0 - SHORTER * chance.clamp(0.0, 1.0));
        self.next = self.next.saturating_mul(2).min(self.longest);
        pause
    }
}

/// By how much chance makes a pause shorter, and never longer: others count on its length.
const SHORTER: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_chance_makes_it_shorter_by_a_quarter_at_most() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let chances = [(0.0, 1_000), (0.5, 1_750), (1.0, 3_000), (0.0, 5_000), (1.0, 3_750)];
        for (chance, millis) in chances {
            assert_eq!(backoff.pause_by(chance), Duration::from_millis(millis), "{chance}");
        }
        backoff.reset();
        assert!((Duration::from_millis(750)..=Duration::from_secs(1)).contains(&backoff.pause()));
    }
}
