//! How many jobs of a replica ask one host at the same time, so that a slow one holds up its own alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those under way, by host: no more hosts than a lane has places.
#[derive(Clone, Default)]
pub(super) struct Turns {
    // Held for map operations only, never across an await.
    under_way: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place at a host, until it is dropped.
pub(super) struct Turn {
    turns: Turns,
    host: String,
}

impl Turns {
    /// A place at a host; none where all are taken.
    pub(super) fn take(&self, host: &str) -> Option<Turn> {
        let mut under_way = self.lock();
        let taken = under_way.entry(host.to_owned()).or_default();
        if *taken >= AT_ONE_HOST {
            return None;
        }
        *taken = taken.saturating_add(1);
        Some(Turn { turns: self.clone(), host: host.to_owned() })
    }

    /// Hosts where all places are taken.
    pub(super) fn busy(&self) -> Vec<String> {
        let under_way = self.lock();
        under_way.iter().filter(|(_, taken)| **taken >= AT_ONE_HOST).map(|(host, _)| host.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.turns.lock();
        if let Some(taken) = under_way.get_mut(&self.host) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                under_way.remove(&self.host);
            }
        }
    }
}

/// More than one, because an answer may take its time.
pub(super) const AT_ONE_HOST: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_two_places_and_is_forgotten_when_both_are_free() {
        let turns = Turns::default();
        let (first, second) = (turns.take("a").unwrap(), turns.take("a").unwrap());
        assert!(turns.take("a").is_none());
        let other = turns.take("b").unwrap();
        assert_eq!(turns.busy(), ["a"]);
        drop(first);
        assert!(turns.busy().is_empty());
        let third = turns.take("a").unwrap();
        assert_eq!(turns.busy(), ["a"]);
        drop((second, third, other));
        assert!(turns.lock().is_empty());
    }
}
