//! Addresses that keep trying keys that nobody has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Counts unknown keys by address: a few at once, then one each [`REFILL`]. Whoever is beyond that is refused without a
/// question to the api.
#[derive(Debug, Default)]
pub(crate) struct GuessGuard {
    addresses: HashMap<IpAddr, Guesses>,
}

#[derive(Debug)]
struct Guesses {
    /// When the address will be as if it had never guessed.
    forgiven_at: Instant,
}

impl GuessGuard {
    /// Whether a publisher from `address` may try a key at `now`.
    pub(crate) fn allows(&self, address: IpAddr, now: Instant) -> bool {
        self.addresses.get(&address).is_none_or(|guesses| {
            guesses.forgiven_at.saturating_duration_since(now) + REFILL <= REFILL.saturating_mul(BURST)
        })
    }

    /// The key that came from `address` is nobody's.
    pub(crate) fn wrong(&mut self, address: IpAddr, now: Instant) {
        if self.addresses.len() >= MAX_ADDRESSES {
            self.addresses.retain(|_, guesses| guesses.forgiven_at > now);
        }
        // More addresses than that at once are not one guesser; the api has its own limits.
        if self.addresses.len() < MAX_ADDRESSES || self.addresses.contains_key(&address) {
            let guesses = self.addresses.entry(address).or_insert(Guesses { forgiven_at: now });
            guesses.forgiven_at = guesses.forgiven_at.max(now) + REFILL;
        }
    }
}

/// Typing errors come in ones and twos.
const BURST: u32 = 10;
/// A thousand guesses take nearly two hours.
const REFILL: Duration = Duration::from_secs(6);
/// 4 MB of them.
const MAX_ADDRESSES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_gets_a_few_tries_and_then_one_at_a_time() {
        let mut guard = GuessGuard::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        let start = Instant::now();
        let mut tried = 0;
        for _ in 0..1000 {
            if guard.allows(address, start) {
                guard.wrong(address, start);
                tried += 1;
            }
        }
        assert_eq!(tried, BURST);
        assert!(guard.allows(other, start));
        let later = start + REFILL;
        assert!(guard.allows(address, later));
        guard.wrong(address, later);
        assert!(!guard.allows(address, later));
        assert!(guard.allows(address, start + REFILL * 100));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let mut guard = GuessGuard::default();
        let now = Instant::now();
        for index in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 10 {
            guard.wrong(IpAddr::from(index.to_be_bytes()), now);
        }
        assert_eq!(guard.addresses.len(), MAX_ADDRESSES);
        guard.wrong("192.0.2.1".parse().unwrap(), now + REFILL * 2);
        assert_eq!(guard.addresses.len(), 1);
    }
}
