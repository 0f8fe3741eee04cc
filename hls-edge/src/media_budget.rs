//! What the media of all streams may take of this process's memory.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One for an edge. When all streams together hold too much, those that hold more than an even share give their oldest media up, until it
/// is enough; a stream that needs little leaves what it does not take to the others.
#[derive(Debug)]
pub(crate) struct MediaBudget {
    limit: usize,
    held: AtomicUsize,
    streams: AtomicUsize,
}

impl MediaBudget {
    /// `limit`: bytes of all streams; none for no limit.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit: limit.unwrap_or(usize::MAX), held: AtomicUsize::new(0), streams: AtomicUsize::new(0) }
    }

    pub(crate) fn join(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream is forgotten that held nothing any more.
    pub(crate) fn leave(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether a stream that holds `own` bytes is to hold less.
    pub(crate) fn is_exceeded_by(&self, own: usize) -> bool {
        let streams = self.streams.load(Ordering::Relaxed).max(1);
        self.held.load(Ordering::Relaxed) > self.limit && own > self.limit / streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_more_than_an_even_share_is_over_and_only_when_all_hold_too_much() {
        let budget = MediaBudget::new(Some(100));
        budget.join();
        budget.join();
        budget.take(95);
        assert!(!budget.is_exceeded_by(95), "the other one needs little");
        budget.take(10);
        assert!(budget.is_exceeded_by(95));
        assert!(!budget.is_exceeded_by(10));
        budget.give_back(5);
        assert!(!budget.is_exceeded_by(90));
        budget.take(20);
        budget.leave();
        assert!(!budget.is_exceeded_by(100), "the only one has it all");
    }

    #[test]
    fn without_a_limit_nobody_is_over() {
        let budget = MediaBudget::new(None);
        budget.join();
        budget.take(1 << 40);
        assert!(!budget.is_exceeded_by(1 << 40));
    }
}
