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
    /// Bytes that replays are expected to need; admission goes by these.
    reserved: usize,
    /// Bytes that they had a moment ago; cuts go by these.
    held: usize,
    shares: usize,
}

/// One publisher's; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    reserved: usize,
    held: usize,
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
        let with_this = taken.reserved.saturating_add(USUAL);
        let is_full = self.most.is_some_and(|most| with_this > most);
        // One publisher is always let in.
        if guest == Guest::New && is_full && taken.shares > 0 {
            return None;
        }
        taken.reserved = with_this;
        taken.shares = taken.shares.saturating_add(1);
        drop(taken);
        Some(Share { reserved: USUAL, held: 0, memory: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes what a replay needs that has held so many bytes at most: a quarter more than that, because keyframes come when
    /// they come.
    pub(crate) fn settle(&mut self, most_held: usize) {
        let reserved = most_held.saturating_add(most_held / 4).min(MAX_BYTES);
        let mut taken = self.memory.taken();
        taken.reserved = taken.reserved.saturating_sub(self.reserved).saturating_add(reserved);
        self.reserved = reserved;
    }

    /// So many bytes are in the replay now.
    pub(crate) fn hold(&mut self, bytes: usize) {
        let mut taken = self.memory.taken();
        taken.held = taken.held.saturating_sub(self.held).saturating_add(bytes);
        self.held = bytes;
    }

    /// The bytes that the replay is to be cut to; none while all together hold no more than there is. Those who return are let in
    /// beyond that. A replay gives up what is too much, and no more: the next one that is asked has to give less, or nothing. An even
    /// part of the whole is left to each.
    pub(crate) fn cut_to(&self) -> Option<usize> {
        let most = self.memory.most?;
        let taken = self.memory.taken();
        let excess = taken.held.saturating_sub(most);
        let even = most / taken.shares.max(1);
        (excess > 0 && self.held > even).then(|| self.held.saturating_sub(excess).max(even))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.memory.taken();
        taken.reserved = taken.reserved.saturating_sub(self.reserved);
        taken.held = taken.held.saturating_sub(self.held);
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
        assert_eq!(shares[0].reserved, MAX_BYTES);
        shares[1].hold(MAX_BYTES);
        drop(shares);
        let Taken { reserved, held, shares } = &*memory.taken();
        assert_eq!((*reserved, *held, *shares), (0, 0, 0));
    }

    #[test]
    fn replays_are_cut_by_what_is_held_too_much_and_no_further_than_to_an_even_part() {
        const MIB: usize = 1024 * 1024;
        let most = (24 * 24 + 16 * 4) * MIB;
        let memory = ReplayMemory::new(Some(most));
        let mut shares: Vec<_> = (0..41).filter_map(|_| memory.share(Guest::Returning)).collect();
        let even = most / shares.len();
        for (index, share) in shares.iter_mut().enumerate() {
            // The last one has only just returned.
            share.hold([24 * MIB, 4 * MIB, 0][usize::from(index >= 24) + usize::from(index >= 40)]);
            assert_eq!(share.cut_to(), None);
        }
        shares[40].hold(12 * MIB);
        assert_eq!((shares[30].cut_to(), shares[40].cut_to()), (None, None), "less than an even part");
        assert_eq!(shares[0].cut_to(), Some(even));
        shares[0].hold(even);
        assert_eq!(shares[1].cut_to(), Some(36 * MIB - even), "what the first one could not give");
        shares[1].hold(36 * MIB - even);
        assert_eq!(shares[2].cut_to(), None);
        shares[2].hold(24 * MIB + 1);
        drop(shares.pop());
        assert_eq!(shares[2].cut_to(), None);
    }

    #[test]
    fn a_replay_is_not_cut_for_what_others_have_reserved_and_do_not_hold() {
        let memory = ReplayMemory::new(Some(2 * USUAL));
        let mut here = memory.share(Guest::New).expect("there is room");
        here.hold(2 * USUAL);
        let mut returned = [(); 2].map(|()| memory.share(Guest::Returning).expect("it is open"));
        assert_eq!(here.cut_to(), None);
        returned[0].hold(1000);
        assert_eq!(here.cut_to(), Some(2 * USUAL - 1000));
        let mut unlimited = ReplayMemory::default().share(Guest::New).expect("there is no limit");
        unlimited.hold(usize::MAX);
        assert_eq!(unlimited.cut_to(), None);
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
