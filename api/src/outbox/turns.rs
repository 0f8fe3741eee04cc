//! How many jobs of a replica ask one host at the same time, and how many ask for one account: a slow host holds up its own alone, and
//! so does an account with many slow hosts.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Those under way: of no more hosts and owners than a lane has places.
#[derive(Clone, Default)]
pub(super) struct Turns {
    // Held for map operations only, never across an await.
    under_way: Arc<Mutex<UnderWay>>,
}

/// A place at a host and one of its owner's, until it is dropped.
pub(super) struct Turn {
    turns: Turns,
    host: String,
    owner_id: Option<Uuid>,
}

/// Where all places are taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Busy {
    pub(super) hosts: Vec<String>,
    pub(super) owners: Vec<Uuid>,
}

impl Turns {
    /// A place at a host for the account that has it asked; none where all of either are taken.
    pub(super) fn take(&self, host: &str, owner_id: Option<Uuid>) -> Option<Turn> {
        let host = host.to_owned();
        let mut under_way = self.lock();
        if under_way.hosts.is_full(&host) || owner_id.is_some_and(|owner| under_way.owners.is_full(&owner)) {
            return None;
        }
        under_way.hosts.take(host.clone());
        if let Some(owner) = owner_id {
            under_way.owners.take(owner);
        }
        Some(Turn { turns: self.clone(), host, owner_id })
    }

    pub(super) fn busy(&self) -> Busy {
        let under_way = self.lock();
        Busy { hosts: under_way.hosts.full(), owners: under_way.owners.full() }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.turns.lock();
        under_way.hosts.free(&self.host);
        if let Some(owner) = &self.owner_id {
            under_way.owners.free(owner);
        }
    }
}

#[derive(Default)]
struct UnderWay {
    hosts: Places<String, AT_ONE_HOST>,
    owners: Places<Uuid, FOR_ONE_OWNER>,
}

/// How many places are taken, by key. Each key has `MOST`, and is forgotten when all are free.
#[derive(Default)]
struct Places<K, const MOST: usize>(HashMap<K, usize>);

impl<K: Clone + Eq + Hash, const MOST: usize> Places<K, MOST> {
    fn is_full(&self, key: &K) -> bool {
        self.0.get(key).is_some_and(|taken| *taken >= MOST)
    }

    fn full(&self) -> Vec<K> {
        self.0.iter().filter(|(_, taken)| **taken >= MOST).map(|(key, _)| key.clone()).collect()
    }

    fn take(&mut self, key: K) {
        let taken = self.0.entry(key).or_default();
        *taken = taken.saturating_add(1);
    }

    fn free(&mut self, key: &K) {
        if let Some(taken) = self.0.get_mut(key) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.0.remove(key);
            }
        }
    }
}

/// More than one, because an answer may take its time.
const AT_ONE_HOST: usize = 2;
/// At any number of hosts, because a wildcard in DNS gives each of a person's subscriptions another one. Twice `AT_ONE_HOST`, so that one
/// slow host does not hold up its owner's others, and an eighth of the lane, so that everybody else has the rest.
const FOR_ONE_OWNER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: Option<Uuid> = Some(Uuid::from_u128(1));
    const BOB: Option<Uuid> = Some(Uuid::from_u128(2));

    fn is_forgotten(turns: &Turns) -> bool {
        let under_way = turns.lock();
        under_way.hosts.0.is_empty() && under_way.owners.0.is_empty()
    }

    #[test]
    fn a_host_has_two_places_and_is_forgotten_when_both_are_free() {
        let turns = Turns::default();
        let (first, second) = (turns.take("a", ANA).unwrap(), turns.take("a", None).unwrap());
        assert!(turns.take("a", BOB).is_none());
        let other = turns.take("b", BOB).unwrap();
        assert_eq!(turns.busy().hosts, ["a"]);
        drop(first);
        assert_eq!(turns.busy(), Busy::default());
        let third = turns.take("a", BOB).unwrap();
        assert_eq!(turns.busy().hosts, ["a"]);
        drop((second, third, other));
        assert!(is_forgotten(&turns));
    }

    #[test]
    fn an_owner_has_four_places_whatever_the_hosts() {
        let turns = Turns::default();
        let mut taken: Vec<Turn> =
            ["a", "b", "c", "d"].iter().map(|host| turns.take(host, ANA).unwrap()).collect();
        assert_eq!(turns.busy(), Busy { hosts: vec![], owners: vec![Uuid::from_u128(1)] });
        // Refused by the owner, it takes no place at the host.
        assert!(turns.take("e", ANA).is_none());
        let others = [turns.take("e", BOB).unwrap(), turns.take("e", BOB).unwrap()];
        // Refused by the host, it takes none of the owner's.
        taken.truncate(3);
        assert!(turns.take("e", ANA).is_none());
        assert_eq!(turns.busy(), Busy { hosts: vec!["e".to_owned()], owners: vec![] });
        taken.push(turns.take("a", ANA).unwrap());
        assert!(turns.take("f", ANA).is_none());
        drop((taken, others));
        assert!(is_forgotten(&turns));
    }
}
