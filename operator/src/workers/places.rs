//! Which broadcasts have a place among those that a pool may have.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use caudal_livestream::StreamId;

use super::Progress;

/// The broadcasts that were given a place since this operator leads, by pool. Those of before are known by what became of them.
#[derive(Default)]
pub(super) struct Places(Mutex<HashMap<String, HashSet<StreamId>>>);

impl Places {
    /// A place for `stream` in a pool of which `open` is not over and `most` may be. Returns how many of these have one, with this one;
    /// none when there is none left. Whoever has a place keeps it until it is over.
    pub(super) fn take(
        &self,
        stream: StreamId,
        pool: &str,
        open: &HashMap<StreamId, Progress>,
        most: u32,
    ) -> Option<u32> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let placed = all.entry(pool.to_owned()).or_default();
        placed.retain(|placed| open.contains_key(placed));
        placed.extend(open.iter().filter(|(_, progress)| **progress == Progress::Begun).map(|(of, _)| *of));
        if !placed.contains(&stream) && count(placed) >= most {
            return None;
        }
        placed.insert(stream);
        Some(count(placed))
    }
}

fn count(of: &HashSet<StreamId>) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams<const MANY: usize>() -> [StreamId; MANY] {
        std::array::from_fn(|_| StreamId::generate())
    }

    fn open(of: &[(StreamId, Progress)]) -> HashMap<StreamId, Progress> {
        of.iter().copied().collect()
    }

    #[test]
    fn of_broadcasts_that_were_let_in_at_once_as_many_get_a_place_as_there_may_be() {
        let (places, [a, b, c]) = (Places::default(), streams());
        let all = open(&[(a, Progress::New), (b, Progress::New), (c, Progress::New)]);
        assert_eq!(places.take(a, "hd", &all, 2), Some(1));
        assert_eq!(places.take(b, "hd", &all, 2), Some(2));
        assert_eq!(places.take(c, "hd", &all, 2), None);
        assert_eq!(places.take(a, "hd", &all, 2), Some(2), "it has its place");
        assert_eq!(places.take(c, "sd", &all, 2), Some(1), "another pool");
    }

    #[test]
    fn a_place_is_free_once_its_broadcast_is_over() {
        let (places, [a, b]) = (Places::default(), streams());
        assert_eq!(places.take(a, "hd", &open(&[(a, Progress::New), (b, Progress::New)]), 1), Some(1));
        assert_eq!(places.take(b, "hd", &open(&[(a, Progress::Begun), (b, Progress::New)]), 1), None);
        assert_eq!(places.take(b, "hd", &open(&[(b, Progress::New)]), 1), Some(1));
    }

    #[test]
    fn what_an_operator_before_has_begun_has_its_place_and_keeps_it_in_a_pool_that_was_made_smaller() {
        let (places, [a, b, c]) = (Places::default(), streams());
        let all = open(&[(a, Progress::Begun), (b, Progress::Begun), (c, Progress::New)]);
        assert_eq!(places.take(c, "hd", &all, 2), None);
        assert_eq!(places.take(a, "hd", &all, 0), Some(2));
    }
}
