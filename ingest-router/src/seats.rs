//! Seats for publishers that may publish.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All of this router's seats. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    all: Arc<Semaphore>,
    /// Kept free for those whose broadcast goes on: the connection they lost may still hold their seat.
    returning: Arc<Semaphore>,
}

/// One publisher's; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

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
    pub(crate) fn new(seats: usize) -> Self {
        let reserve = seats.div_ceil(RESERVE);
        Self { all: Arc::new(Semaphore::new(seats)), returning: Arc::new(Semaphore::new(reserve)) }
    }

    /// A seat, if there is one for this guest.
    pub(crate) fn take(&self, guest: Guest) -> Option<Seat> {
        let seat = Arc::clone(&self.all).try_acquire_owned();
        let seat = match guest {
            Guest::New => seat,
            Guest::Returning => seat.or_else(|_| Arc::clone(&self.returning).try_acquire_owned()),
        };
        seat.ok().map(Seat)
    }
}

/// A return needs its second seat for a moment only: until the first connection has heard that it is replaced.
const RESERVE: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_returns_finds_a_seat_although_all_are_taken() {
        let seats = Seats::new(2);
        let first = seats.take(Guest::New).unwrap();
        let _second = seats.take(Guest::New).unwrap();
        assert!(seats.take(Guest::New).is_none());
        let _returned = seats.take(Guest::Returning).unwrap();
        assert!(seats.take(Guest::Returning).is_none(), "the reserve is bounded too");
        drop(first);
        assert!(seats.take(Guest::New).is_some());
    }
}
