//! The memory that all replays of a router may take together. A router that runs out of memory is killed, and drops every
//! publisher; one publisher that is refused goes to another router.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::replay::MAX_BYTES;
use crate::seats::Guest;

/// What is there for replays. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayMemory {
    /// Bytes; none for no limit.
    most: Option<usize>,
    // Held for single operations only, never across an await.
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: usize,
    shares: usize,
}

/// One publisher's; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    bytes: usize,
    memory: ReplayMemory,
}

impl ReplayMemory {
    pub(crate) fn new(most: Option<usize>) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// What a usual replay takes, because nobody knows yet how much this one will. Who goes on with an open broadcast gets it
    /// in any case: another router may have been lost, and with it all that it had.
    pub(crate) fn share(&self, guest: Guest) -> Option<Share> {
        let mut taken = self.taken();
        let with_this = taken.bytes.saturating_add(USUAL);
        let is_full = self.most.is_some_and(|most| with_this > most);
        // One publisher is always let in.
        if guest == Guest::New && is_full && taken.shares > 0 {
            return None;
        }
        *taken = Taken { bytes: with_this, shares: taken.shares.saturating_add(1) };
        drop(taken);
        Some(Share { bytes: USUAL, memory: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes what a replay needs that has held so many bytes at most: a quarter more than that, because keyframes come when
    /// they come.
    pub(crate) fn settle(&mut self, most_held: usize) {
        let bytes = most_held.saturating_add(most_held / 4).min(MAX_BYTES);
        let mut taken = self.memory.taken();
        taken.bytes = taken.bytes.saturating_sub(self.bytes).saturating_add(bytes);
        self.bytes = bytes;
    }

    /// The bytes that a replay is to be cut to; none while all have what they need. Those who return are let in beyond what there is, and
    /// then each has an even part of it.
    pub(crate) fn cut_to(&self) -> Option<usize> {
        let most = self.memory.most?;
        let taken = self.memory.taken();
        (taken.bytes > most).then(|| most / taken.shares.max(1))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.memory.taken();
        taken.bytes = taken.bytes.saturating_sub(self.bytes);
        taken.shares = taken.shares.saturating_sub(1);
    }
}

/// 17 s of 5 Mb/s.
const USUAL: usize = MAX_BYTES / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_counts_as_a_usual_one_until_it_is_known_what_it_needs() {
        let memory = ReplayMemory::new(Some(10 * USUAL));
        let newcomers = || std::iter::from_fn(|| memory.share(Guest::New)).collect::<Vec<_>>();
        let mut shares = newcomers();
        assert_eq!(shares.len(), 10);
        shares.push(memory.share(Guest::Returning).expect("a broadcast that is open goes on"));
        for share in &mut shares {
            share.settle(USUAL / 5);
        }
        // 11 of them take a quarter each now.
        shares.extend(newcomers());
        assert_eq!(shares.len(), 11 + 7);
        shares[0].settle(100 * USUAL);
        assert_eq!(shares[0].bytes, MAX_BYTES);
        drop(shares);
        let Taken { bytes, shares } = &*memory.taken();
        assert_eq!((*bytes, *shares), (0, 0));
    }

    #[test]
    fn all_are_cut_to_an_even_part_while_those_who_returned_take_more_than_there_is() {
        let memory = ReplayMemory::new(Some(2 * USUAL));
        let here = [memory.share(Guest::New), memory.share(Guest::New)];
        let here = here.map(|share| share.expect("there is room for two"));
        assert_eq!(here[0].cut_to(), None);
        let returned = [(); 2].map(|()| memory.share(Guest::Returning).expect("it is open"));
        assert_eq!((here[0].cut_to(), returned[1].cut_to()), (Some(USUAL / 2), Some(USUAL / 2)));
        drop(returned);
        assert_eq!(here[0].cut_to(), None);
        assert_eq!(ReplayMemory::default().share(Guest::New).and_then(|share| share.cut_to()), None);
    }

    #[test]
    fn without_a_limit_and_for_the_only_publisher_there_is_always_memory() {
        let unlimited = ReplayMemory::default();
        assert_eq!(
            std::iter::from_fn(|| unlimited.share(Guest::New)).take(1000).collect::<Vec<_>>().len(),
            1000
        );
        let small = ReplayMemory::new(Some(1));
        let only = small.share(Guest::New);
        assert!(only.is_some() && small.share(Guest::New).is_none());
    }
}
