//! What the media of all streams may take of this process's memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One for an edge. When all streams together hold too much, those that hold most give their oldest media up, until they hold the
/// same and it is enough. A stream that needs little, or nothing, leaves what it does not take to the others.
#[derive(Debug)]
pub(crate) struct MediaBudget {
    /// Bytes; none for no limit.
    limit: Option<usize>,
    // Held for single operations only, never across an await.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    /// How many streams hold so many bytes; none of those that hold nothing.
    streams: BTreeMap<usize, usize>,
}

impl MediaBudget {
    /// `limit`: bytes of all streams; none for no limit.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, held: Mutex::default() }
    }

    /// A stream that held `before` bytes holds `after` now.
    pub(crate) fn hold(&self, before: usize, after: usize) {
        if self.limit.is_none() || before == after {
            return;
        }
        let mut held = self.held();
        held.bytes = held.bytes.saturating_sub(before).saturating_add(after);
        if let Some(streams) = held.streams.get_mut(&before) {
            *streams = streams.saturating_sub(1);
            if *streams == 0 {
                held.streams.remove(&before);
            }
        }
        if after > 0 {
            let streams = held.streams.entry(after).or_default();
            *streams = streams.saturating_add(1);
        }
    }

    /// The most that one stream may hold now, so that all together hold no more than the limit.
    pub(crate) fn most(&self) -> usize {
        let Some(mut left) = self.limit else { return usize::MAX };
        let held = self.held();
        if held.bytes <= left {
            return usize::MAX;
        }
        let mut larger = held.streams.values().sum::<usize>();
        for (bytes, streams) in &held.streams {
            let even = left.checked_div(larger).unwrap_or(0);
            if *bytes > even {
                return even;
            }
            left = left.saturating_sub(bytes.saturating_mul(*streams));
            larger = larger.saturating_sub(*streams);
        }
        usize::MAX
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is sent of broadcasts that are over may take this part of what is kept for media: where a process is an edge alone, an eighth of
/// its memory.
pub(crate) const UNHELD_PART: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_hold_most_are_cut_to_the_same_size_and_only_when_all_hold_too_much() {
        for (streams, most) in [
            (&[95, 5][..], None),
            (&[95, 10], Some(90)),
            (&[60, 60], Some(50)),
            (&[60, 60, 20], Some(40)),
            (&[40, 40, 20], None),
            (&[90, 90, 90, 1, 1, 1, 1], Some(32)),
            (&[101], Some(100)),
            (&[], None),
        ] {
            let budget = MediaBudget::new(Some(100));
            for bytes in streams {
                budget.hold(0, *bytes);
            }
            assert_eq!(budget.most(), most.unwrap_or(usize::MAX), "{streams:?}");
        }
    }

    #[test]
    fn a_stream_that_holds_nothing_takes_nothing_from_the_others() {
        let budget = MediaBudget::new(Some(100));
        for (before, after) in [(0, 0), (0, 40), (40, 0), (0, 90), (0, 10), (90, 120)] {
            budget.hold(before, after);
        }
        assert_eq!(budget.most(), 90);
        budget.hold(10, 0);
        assert_eq!(budget.most(), 100);
        budget.hold(120, 0);
        let held = budget.held();
        assert_eq!((held.bytes, held.streams.len()), (0, 0));
    }

    #[test]
    fn without_a_limit_a_stream_may_hold_anything() {
        let budget = MediaBudget::new(None);
        budget.hold(0, 1 << 40);
        assert_eq!(budget.most(), usize::MAX);
    }
}
