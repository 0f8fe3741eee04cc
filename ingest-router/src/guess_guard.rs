//! Addresses that keep trying keys that nobody has.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use caudal_service::origin::Origin;

use self::retries::Retries;
use crate::known_keys::KeyHash;

pub(crate) use self::shared::SharedGuesses;

mod retries;
mod shared;

/// Counts unknown keys by address: a few at once, then one each [`Allowance::interval`]. An IPv6 site is counted as a whole
/// too, with more patience. An encoder that tries one wrong key again and again has guessed once; its tries are counted
/// apart, in [`Retries`].
///
/// The counts are a count-min sketch: each guesser adds to one cell of each row, and has what the least of its cells says.
/// It never forgets a guesser for the sake of a newcomer, costs the same for one address as for a million, and errs only on
/// the side of counting too much: when [`CELLS`] addresses guess within a few seconds.
#[derive(Debug)]
pub(crate) struct GuessGuard {
    rows: Vec<Row>,
    retries: Retries,
}

#[derive(Debug)]
struct Row {
    hash: RandomState,
    /// When each cell will be as if nobody had ever guessed; in milliseconds since `began`.
    forgiven_at: Vec<u64>,
    began: Option<Instant>,
}

/// How many wrong keys are forgiven.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// At once.
    burst: u32,
    /// For one more.
    interval: Duration,
}

impl Allowance {
    /// Whether a guesser that owes so much may try another key.
    fn admits(self, owed: Duration) -> bool {
        owed + self.interval <= self.most()
    }

    /// What is owed after one more wrong key. Never more than a whole burst, so that nobody is locked out for longer,
    /// however many of its keys were looked at all the same.
    fn after(self, owed: Duration) -> Duration {
        (owed + self.interval).min(self.most())
    }

    fn most(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }
}

/// What is counted as one.
#[derive(Clone, Copy, Debug, Hash)]
enum Guesser {
    Origin(Origin),
    Site(Origin),
}

impl Guesser {
    fn all(origin: Origin) -> impl Iterator<Item = Self> {
        std::iter::once(Self::Origin(origin)).chain(origin.site().map(Self::Site))
    }

    fn allowance(self) -> Allowance {
        match self {
            Self::Origin(_) => ADDRESS,
            Self::Site(_) => SITE,
        }
    }
}

impl Default for GuessGuard {
    fn default() -> Self {
        Self { rows: (0..ROWS).map(|_| Row::new()).collect(), retries: Retries::default() }
    }
}

impl GuessGuard {
    /// Whether a publisher from `address` may try this key at `now`.
    pub(crate) fn allows(&self, address: IpAddr, key: &KeyHash, now: Instant) -> bool {
        let origin = Origin::from(address);
        Guesser::all(origin).all(|guesser| guesser.allowance().admits(self.owed(guesser, now)))
            && ADDRESS.admits(self.retries.owed(origin, key, now))
    }

    /// This key, which came from `address`, is nobody's.
    pub(crate) fn wrong(&mut self, address: IpAddr, key: &KeyHash, now: Instant) {
        let origin = Origin::from(address);
        let owed = self.retries.owed(origin, key, now);
        if owed.is_zero() {
            for guesser in Guesser::all(origin) {
                self.count(guesser, now);
            }
        }
        self.retries.raise(origin, key, now, ADDRESS.after(owed));
    }

    fn count(&mut self, guesser: Guesser, now: Instant) {
        // Only the cells that say least are raised: those above count somebody else too.
        let owed = guesser.allowance().after(self.owed(guesser, now));
        for row in &mut self.rows {
            row.raise(guesser, now, owed);
        }
    }

    fn owed(&self, guesser: Guesser, now: Instant) -> Duration {
        self.rows.iter().map(|row| row.owed(guesser, now)).min().unwrap_or_default()
    }
}

impl Row {
    fn new() -> Self {
        Self { hash: RandomState::new(), forgiven_at: vec![0; CELLS], began: None }
    }

    fn owed(&self, guesser: Guesser, now: Instant) -> Duration {
        let forgiven_at = self.forgiven_at.get(self.cell(guesser)).copied().unwrap_or(0);
        Duration::from_millis(forgiven_at.saturating_sub(self.millis(now)))
    }

    fn raise(&mut self, guesser: Guesser, now: Instant, owed: Duration) {
        self.began.get_or_insert(now);
        let until = self.millis(now).saturating_add(u64::try_from(owed.as_millis()).unwrap_or(u64::MAX));
        let cell = self.cell(guesser);
        if let Some(forgiven_at) = self.forgiven_at.get_mut(cell) {
            *forgiven_at = until.max(*forgiven_at);
        }
    }

    fn cell(&self, guesser: Guesser) -> usize {
        usize::try_from(self.hash.hash_one(guesser) % CELLS_U64).unwrap_or(0)
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Typing errors come in ones and twos. A thousand guesses take nearly two hours.
const ADDRESS: Allowance = Allowance { burst: 10, interval: Duration::from_secs(6) };
/// A school or an office, each of whose people may mistype.
const SITE: Allowance = Allowance { burst: 100, interval: Duration::from_millis(600) };
/// Two rows: an innocent address is counted with others only when it shares both of its cells with guessers.
const ROWS: usize = 2;
/// 512 KB a row.
const CELLS: usize = 65_536;
const CELLS_U64: u64 = 65_536;

#[cfg(test)]
mod tests {
    use caudal_livestream::admission::StreamKey;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn key(text: &str) -> KeyHash {
        KeyHash::of(&StreamKey::new(text))
    }

    /// How many of `tries` with keys of their own from addresses that `from` gives are trusted at `now`.
    fn tried(guard: &mut GuessGuard, now: Instant, tries: u32, from: impl Fn(u32) -> IpAddr) -> u32 {
        let mut tried = 0;
        for index in 0..tries {
            let key = key(&format!("{index} of {tries} at {now:?}"));
            if guard.allows(from(index), &key, now) {
                guard.wrong(from(index), &key, now);
                tried += 1;
            }
        }
        tried
    }

    #[test]
    fn a_guesser_gets_a_few_tries_and_then_one_at_a_time() {
        let mut guard = GuessGuard::default();
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let start = Instant::now();
        assert_eq!(tried(&mut guard, start, 1000, |_| guesser), ADDRESS.burst);
        assert!(guard.allows(other, &key("another"), start));
        let later = start + ADDRESS.interval;
        assert_eq!(tried(&mut guard, later, 1000, |_| guesser), 1);
        assert_eq!(tried(&mut guard, start + ADDRESS.interval * 100, 1000, |_| guesser), ADDRESS.burst);
    }

    #[test]
    fn an_encoder_that_tries_one_wrong_key_again_and_again_has_guessed_once() {
        let mut guard = GuessGuard::default();
        let (address, stale) = (address("192.0.2.1"), key("a rotated one"));
        let start = Instant::now();
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            if guard.allows(address, &stale, now) {
                guard.wrong(address, &stale, now);
            }
            assert!(guard.allows(address, &key("another"), now), "{second}");
        }
        let now = start + Duration::from_secs(6000);
        assert_eq!(
            (0..1000)
                .filter(|_| {
                    let allowed = guard.allows(address, &stale, now);
                    guard.wrong(address, &stale, now);
                    allowed
                })
                .count(),
            10,
            "nor is the api asked for ever"
        );
    }

    #[test]
    fn a_guesser_whose_keys_were_looked_at_all_the_same_owes_no_more_than_a_burst() {
        let mut guard = GuessGuard::default();
        let (address, stale, start) = (address("192.0.2.1"), key("a rotated one"), Instant::now());
        for index in 0..1000 {
            guard.wrong(address, &key(&index.to_string()), start);
            guard.wrong(address, &stale, start);
        }
        assert!(!guard.allows(address, &stale, start));
        let later = start + ADDRESS.interval;
        assert!(guard.allows(address, &stale, later) && guard.allows(address, &key("another"), later));
    }

    #[test]
    fn a_host_that_picks_a_new_address_of_its_network_for_each_guess_is_one_guesser() {
        let mut guard = GuessGuard::default();
        let start = Instant::now();
        let of_network = |index: u32| address(&format!("2001:db8:1:2::{index:x}"));
        assert_eq!(tried(&mut guard, start, 1000, of_network), ADDRESS.burst);
        let mapped =
            |index: u32| address(if index.is_multiple_of(2) { "192.0.2.1" } else { "::ffff:192.0.2.1" });
        assert_eq!(tried(&mut guard, start, 1000, mapped), ADDRESS.burst);
    }

    #[test]
    fn a_site_that_picks_a_new_network_for_each_guess_runs_out_of_them() {
        let mut guard = GuessGuard::default();
        let start = Instant::now();
        let of_site = |index: u32| address(&format!("2001:db8:1:{:x}::1", index % 0xFFFF));
        assert_eq!(tried(&mut guard, start, 5000, of_site), SITE.burst);
        let elsewhere = guard.allows(address("2001:db8:2::1"), &key("another"), start);
        assert!(elsewhere, "other sites are not touched");
    }

    #[test]
    fn a_flood_of_new_addresses_neither_hides_a_guesser_nor_goes_uncounted_nor_shuts_others_out() {
        let mut guard = GuessGuard::default();
        let start = Instant::now();
        let guesser = address("192.0.2.1");
        assert_eq!(tried(&mut guard, start, 100, |_| guesser), ADDRESS.burst);
        for index in 0..200_000_u32 {
            guard.wrong(IpAddr::from((0x0A00_0000 + index).to_be_bytes()), &key("one for all"), start);
        }
        assert!(!guard.allows(guesser, &key("another"), start), "still counted");
        assert!(tried(&mut guard, start, 100, |_| address("203.0.113.9")) <= ADDRESS.burst, "counted");
        let innocent = (0..1000_u32)
            .map(|index| IpAddr::from((0xC633_0000 + index).to_be_bytes()))
            .filter(|address| guard.allows(*address, &key("another"), start));
        assert!(innocent.count() > 900);
        assert_eq!(guard.rows.iter().map(|row| row.forgiven_at.len()).sum::<usize>(), ROWS * CELLS);
    }
}
