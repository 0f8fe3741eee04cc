//! Wrong keys that are tried once more.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use caudal_service::origin::Origin;

use crate::known_keys::KeyHash;

/// The wrong keys that addresses tried a moment ago. Encoders send one again and again by themselves.
///
/// Each try has two places in a table of fixed size and takes none that holds another. One that finds both taken is not
/// remembered, so the next counts as a guess again: a flood can make an encoder's retries count as guesses, but it hides
/// no guess.
#[derive(Debug)]
pub(super) struct Retries {
    hash: RandomState,
    places: Vec<Option<Tried>>,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    /// The keyed hash of address and key: nobody outside can find two that are alike.
    what: u64,
    forgiven_at: Instant,
}

impl Default for Retries {
    fn default() -> Self {
        Self { hash: RandomState::new(), places: vec![None; PLACES] }
    }
}

impl Retries {
    /// How long until the tries of this key from this address are forgiven; zero if none is remembered.
    pub(super) fn owed(&self, origin: Origin, key: &KeyHash, now: Instant) -> Duration {
        let what = self.hash.hash_one((origin, key));
        let held =
            places(what).into_iter().find_map(|place| self.held(place, now).filter(|held| held.what == what));
        held.map_or(Duration::ZERO, |held| held.forgiven_at.saturating_duration_since(now))
    }

    /// Remembers that `owed` is owed for this key from this address, from `now` on.
    pub(super) fn raise(&mut self, origin: Origin, key: &KeyHash, now: Instant, owed: Duration) {
        let what = self.hash.hash_one((origin, key));
        let own = |place: &usize| self.held(*place, now).is_some_and(|held| held.what == what);
        let free = |place: &usize| self.held(*place, now).is_none();
        let place = places(what).into_iter().find(own).or_else(|| places(what).into_iter().find(free));
        if let Some(place) = place.and_then(|place| self.places.get_mut(place)) {
            *place = Some(Tried { what, forgiven_at: now + owed });
        }
    }

    fn held(&self, place: usize, now: Instant) -> Option<Tried> {
        self.places.get(place).copied().flatten().filter(|held| held.forgiven_at > now)
    }
}

/// The two places that a try may take.
fn places(what: u64) -> [usize; 2] {
    [what, what.rotate_right(32)].map(|hash| usize::try_from(hash % PLACES_U64).unwrap_or(0))
}

/// 1.5 MB. Full only while ten thousand new keys or more are tried each second, since one try is forgiven in 6 s.
const PLACES: usize = 65_536;
pub(super) const PLACES_U64: u64 = 65_536;

#[cfg(test)]
mod tests {
    use caudal_livestream::admission::StreamKey;

    use super::*;

    #[test]
    fn a_flood_takes_no_place_that_is_held_and_one_that_finds_none_is_not_remembered() {
        let mut retries = Retries::default();
        let (origin, now) = (Origin::from(std::net::IpAddr::from([192, 0, 2, 1])), Instant::now());
        let key = |index: u32| KeyHash::of(&StreamKey::new(index.to_string()));
        let owed = Duration::from_secs(6);
        for index in 0..300_000 {
            retries.raise(origin, &key(index), now, owed);
        }
        assert_eq!(retries.owed(origin, &key(0), now), owed);
        assert_eq!(retries.places.len(), PLACES);
        let lost =
            (200_000..201_000).filter(|index| retries.owed(origin, &key(*index), now).is_zero()).count();
        assert!(lost > 900, "{lost}");
        let later = now + owed;
        assert!(retries.owed(origin, &key(0), later).is_zero());
        retries.raise(origin, &key(200_000), later, owed);
        assert_eq!(retries.owed(origin, &key(200_000), later), owed, "places become free again");
    }
}
