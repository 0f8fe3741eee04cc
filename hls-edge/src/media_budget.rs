//! What the media of all streams may take of this process's memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::LEAST_TAKEN;
use crate::answer::Refusal;

/// One for an edge. When all streams together hold too much, those that hold most give their oldest media up, until they hold the
/// same and it is enough. A stream that needs little, or nothing, leaves what it does not take to the others.
///
/// What was given up lives on while somebody reads it, so living media is counted beside what is held. Readers that take their time
/// would else keep any amount of it.
#[derive(Debug)]
pub(crate) struct MediaBudget {
    /// Bytes; none for no limit.
    limit: Option<usize>,
    /// Bytes of media that somebody has, whether a stream holds them or they are only being sent.
    living: AtomicUsize,
    /// A copy of `Held::bytes` that every answer can look at.
    held_bytes: AtomicUsize,
    // Held for single operations only, never across an await.
    held: Mutex<Held>,
}

/// Media that counts as living until its last reader has dropped it.
struct Living {
    data: Bytes,
    budget: Arc<MediaBudget>,
}

/// Room for a file that is being read, until this is dropped.
pub(crate) struct Room {
    bytes: usize,
    budget: Arc<MediaBudget>,
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
        Self { limit, living: AtomicUsize::new(0), held_bytes: AtomicUsize::new(0), held: Mutex::default() }
    }

    /// The same bytes, counted until the last copy and slice of them is dropped.
    pub(crate) fn count(self: &Arc<Self>, data: Bytes) -> Bytes {
        if self.limit.is_none() || data.is_empty() {
            return data;
        }
        self.living.fetch_add(data.len(), Ordering::Relaxed);
        Bytes::from_owner(Living { data, budget: Arc::clone(self) })
    }

    /// Room for a file of at most so many bytes, before any of it is read. It counts as living.
    ///
    /// # Errors
    /// [`Refusal::Busy`], as for an answer of that size.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Option<Room>, Refusal> {
        if self.limit.is_none() {
            return Ok(None);
        }
        self.living.fetch_add(bytes, Ordering::Relaxed);
        let room = Room { bytes, budget: Arc::clone(self) };
        self.admit_bytes(bytes).map(|()| Some(room))
    }

    /// Whether `answer`, of counted media, may be sent. What is read to its end within a reader's deadline, such as a low-latency
    /// player's parts, is refused last: the streams make room for it.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when the other answers keep too much that no stream holds.
    pub(crate) fn admit(&self, answer: &Bytes) -> Result<(), Refusal> {
        self.admit_bytes(answer.len())
    }

    fn admit_bytes(&self, bytes: usize) -> Result<(), Refusal> {
        let Some(limit) = self.limit else { return Ok(()) };
        // One that has all for itself is sent, however large it is.
        let others = self.living_unheld().saturating_sub(bytes);
        let is_read_in_time = u64::try_from(bytes).is_ok_and(|length| length <= LEAST_TAKEN);
        let most = if is_read_in_time { limit } else { limit / UNHELD_PART };
        if others > most { Err(Refusal::Busy) } else { Ok(()) }
    }

    /// Bytes that no stream holds any more, or does not hold yet, and somebody has.
    pub(crate) fn living_unheld(&self) -> usize {
        self.living.load(Ordering::Relaxed).saturating_sub(self.held_bytes.load(Ordering::Relaxed))
    }

    /// A stream that held `before` bytes holds `after` now.
    pub(crate) fn hold(&self, before: usize, after: usize) {
        if self.limit.is_none() || before == after {
            return;
        }
        let mut held = self.held();
        held.bytes = held.bytes.saturating_sub(before).saturating_add(after);
        self.held_bytes.store(held.bytes, Ordering::Relaxed);
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

    /// The most that one stream may hold now, so that all together hold no more than the limit, and what lives no more than that and the
    /// part for what is only being sent. Readers that are let in while a stream holds what they read may keep it for longer.
    pub(crate) fn most(&self) -> usize {
        let Some(limit) = self.limit else { return usize::MAX };
        let mut left = limit.saturating_sub(self.living_unheld().saturating_sub(limit / UNHELD_PART));
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

impl AsRef<[u8]> for Living {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.budget.living.fetch_sub(self.data.len(), Ordering::Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.living.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What is being sent and held by no stream may take this part of what is kept for media, and so may what is sent of broadcasts that
/// are over: where a process is an edge alone, an eighth of its memory each, and an eighth is left for all that is not media.
pub(crate) const UNHELD_PART: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// As much as a reader takes in time.
    const SMALL_ANSWER: usize = 512 * 1024;

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
    fn what_is_to_be_read_has_its_room_before_it_comes() {
        let budget = Arc::new(MediaBudget::new(Some(30 * SMALL_ANSWER)));
        let alone = budget.reserve(100 * SMALL_ANSWER).unwrap();
        assert_eq!(budget.living_unheld(), 100 * SMALL_ANSWER, "it has all for itself");
        for bytes in [SMALL_ANSWER, 2 * SMALL_ANSWER] {
            assert!(matches!(budget.reserve(bytes), Err(Refusal::Busy)), "{bytes}");
        }
        assert_eq!(budget.living_unheld(), 100 * SMALL_ANSWER, "what is refused takes nothing");
        drop(alone);
        let read = [budget.reserve(4 * SMALL_ANSWER).unwrap(), budget.reserve(4 * SMALL_ANSWER).unwrap()];
        assert!(
            matches!(budget.reserve(2 * SMALL_ANSWER), Err(Refusal::Busy)),
            "the others take over a fifth"
        );
        assert!(budget.reserve(SMALL_ANSWER).is_ok());
        drop(read);
        assert_eq!(budget.living_unheld(), 0);
        assert!(matches!(Arc::new(MediaBudget::new(None)).reserve(usize::MAX), Ok(None)), "no limit");
    }

    #[test]
    fn without_a_limit_a_stream_may_hold_anything_and_anything_is_sent() {
        let budget = Arc::new(MediaBudget::new(None));
        budget.hold(0, 1 << 40);
        assert_eq!(budget.most(), usize::MAX);
        let _unread = budget.count(Bytes::from_static(b"media"));
        assert_eq!((budget.living_unheld(), budget.admit(&Bytes::from_static(b"media"))), (0, Ok(())));
    }

    #[test]
    fn streams_hold_less_while_readers_keep_more_than_their_part() {
        let budget = Arc::new(MediaBudget::new(Some(100)));
        let count = |bytes: usize| budget.count(vec![0; bytes].into());
        let _held = [count(60), count(30)];
        budget.hold(0, 60);
        budget.hold(0, 30);
        for (unread, most) in [(0, None), (30, None), (31, Some(59)), (50, Some(40)), (200, Some(0))] {
            let _unread = count(unread);
            assert_eq!(budget.most(), most.unwrap_or(usize::MAX), "{unread}");
        }
        assert_eq!(budget.most(), usize::MAX, "all is read");
    }

    #[test]
    fn what_no_stream_holds_has_a_bound_and_small_answers_are_refused_last() {
        let budget = Arc::new(MediaBudget::new(Some(30 * SMALL_ANSWER)));
        let large = || budget.count(vec![0; 2 * SMALL_ANSWER].into());
        let small = || budget.count(vec![0; SMALL_ANSWER / 2].into());
        let mut unread = vec![large(), large(), large()];
        assert_eq!(budget.admit(&large()), Ok(()), "the others keep a fifth");
        unread.push(small());
        assert_eq!(budget.admit(&large()), Err(Refusal::Busy));
        assert_eq!(budget.admit(&small()), Ok(()));
        unread.extend(std::iter::repeat_with(large).take(12));
        assert_eq!(budget.admit(&small()), Err(Refusal::Busy), "as much as all streams may hold");
        // What a stream holds does not count.
        budget.hold(0, 2 * SMALL_ANSWER);
        assert_eq!(budget.admit(&small()), Ok(()));
        let slice = unread.swap_remove(0).slice(1..2);
        assert_eq!(budget.living_unheld(), 28 * SMALL_ANSWER + SMALL_ANSWER / 2);
        drop((slice, unread));
        budget.hold(2 * SMALL_ANSWER, 0);
        assert_eq!(budget.living_unheld(), 0);
        let alone = budget.count(vec![0; 100 * SMALL_ANSWER].into());
        assert_eq!(budget.admit(&alone), Ok(()), "larger than all the room");
    }
}
