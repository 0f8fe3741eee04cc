//! Seats for publishers that were let in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::replay_memory::{ReplayMemory, Share};

/// All of this router's seats. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    /// For everybody.
    general: usize,
    /// Further ones, kept free for those whose broadcast goes on: the connection they lost may still hold their seat.
    reserve: usize,
    taken: Taken,
    memory: ReplayMemory,
}

/// How many are taken. Not which: a seat that is given back fills the reserve first, whoever had it.
#[derive(Clone, Debug, Default)]
struct Taken(
    // Held for single operations only, never across an await.
    Arc<Mutex<usize>>,
);

/// One publisher's; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    taken: Taken,
    share: Share,
}

/// What there is no more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Seats,
    Memory,
}

/// Who wants a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Begins a broadcast.
    New,
    /// Goes on with one that is open.
    Returning,
}

impl Seats {
    /// So many for everybody, and a tenth as many for those who return.
    pub(crate) fn new(seats: usize, memory: ReplayMemory) -> Self {
        Self { general: seats, reserve: seats.div_ceil(RESERVE), taken: Taken::default(), memory }
    }

    /// A seat, if there is one for this guest.
    pub(crate) fn take(&self, guest: Guest) -> Result<Seat, Full> {
        let limit = match guest {
            Guest::New => self.general,
            Guest::Returning => self.general.saturating_add(self.reserve),
        };
        let mut taken = self.taken.lock();
        if *taken >= limit {
            return Err(Full::Seats);
        }
        let share = self.memory.share(guest).ok_or(Full::Memory)?;
        *taken = taken.saturating_add(1);
        drop(taken);
        Ok(Seat { taken: self.taken.clone(), share })
    }
}

impl Seat {
    /// It is known by now how much of its media this publisher needs to have kept.
    pub(crate) fn settle(&mut self, replay_bytes: usize) {
        self.share.settle(replay_bytes);
    }

    /// See [`Share::hold`].
    pub(crate) fn hold(&mut self, replay_bytes: usize) {
        self.share.hold(replay_bytes);
    }

    /// See [`Share::cut_to`].
    pub(crate) fn cut_to(&self) -> Option<usize> {
        self.share.cut_to()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        *taken = taken.saturating_sub(1);
    }
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A return needs its second seat for a moment only: until the first connection has heard that it is replaced.
const RESERVE: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_returns_finds_a_seat_although_all_are_taken_and_a_seat_that_is_given_back_fills_the_reserve_first()
     {
        use Guest::{New, Returning};
        let seats = Seats::new(2, ReplayMemory::default());
        let mut held = Vec::new();
        for (case, given_back, guest, found) in [
            ("the first", 0, New, true),
            ("the last for everybody", 0, New, true),
            ("all are taken", 0, New, false),
            ("one of them returns", 0, Returning, true),
            ("the reserve is bounded too", 0, Returning, false),
            ("its lost connection has ended", 1, New, false),
            ("so that another one can return", 0, Returning, true),
            ("and again", 1, Returning, true),
            ("two have ended", 2, New, true),
            ("all are taken again", 0, New, false),
        ] {
            held.drain(..given_back);
            let seat = seats.take(guest);
            assert_eq!(seat.is_ok(), found, "{case}");
            held.extend(seat);
        }
    }

    #[test]
    fn a_guest_without_memory_leaves_its_seat_to_others() {
        let seats = Seats::new(2, ReplayMemory::new(Some(1)));
        let first = seats.take(Guest::New).expect("the only one");
        assert_eq!(seats.take(Guest::New).err(), Some(Full::Memory));
        drop(first);
        assert!(seats.take(Guest::New).is_ok());
    }
}
