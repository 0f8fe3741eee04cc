//! Parts, segments and inits of one stream in memory, within a number of bytes, a span of time and what all streams may take.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use caudal_livestream::timeline::Segment;
use caudal_livestream::{Epoch, RenditionName};

use crate::media_budget::MediaBudget;
use crate::request::MediaFile;

/// One media file of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    pub(crate) rendition: RenditionName,
    pub(crate) file: MediaFile,
}

/// What was announced or asked for lately.
#[derive(Debug)]
pub(crate) struct Memory {
    files: HashMap<FileKey, Held>,
    /// What goes first when there is no room stands first; each key of `files` once, with the time when it came.
    order: VecDeque<(Instant, FileKey)>,
    bytes: usize,
    limit: usize,
    budget: Arc<MediaBudget>,
}

#[derive(Debug)]
struct Held {
    data: Bytes,
    /// Bytes that only this entry keeps: none for a part that is a slice of its segment.
    cost: usize,
}

impl Memory {
    /// `limit`: bytes of this stream alone.
    pub(crate) fn new(limit: usize, budget: Arc<MediaBudget>) -> Self {
        Self { files: HashMap::new(), order: VecDeque::new(), bytes: 0, limit, budget }
    }

    pub(crate) fn get(&self, key: &FileKey) -> Option<Bytes> {
        self.files.get(key).map(|held| held.data.clone())
    }

    /// Keeps a file; the first version of it stays. What came first goes first when there is no room. Returns the file for whoever
    /// asked for it, counted as living.
    pub(crate) fn put(&mut self, key: FileKey, data: Bytes, now: Instant) -> Bytes {
        let data = self.budget.count(data);
        self.keep(key, data.clone(), now);
        data
    }

    fn keep(&mut self, key: FileKey, data: Bytes, now: Instant) {
        if self.insert(&key, data) {
            self.order.push_back((now, key));
            self.make_room();
        }
    }

    /// Keeps a file of storage's, which is counted as living already, while there is room. Whoever asks storage is behind the live
    /// edge, and all that came of the feed is wanted more.
    pub(crate) fn put_stored(&mut self, key: FileKey, data: Bytes, now: Instant) {
        if self.insert(&key, data) {
            self.order.push_front((now, key));
            self.make_room();
        }
    }

    /// Makes the segment of its parts, when all of them are here: from then on they are slices of it.
    pub(crate) fn finish(&mut self, rendition: &RenditionName, segment: &Segment, now: Instant) {
        let key =
            FileKey { rendition: rendition.clone(), file: MediaFile::Segment(segment.msn, segment.epoch) };
        if segment.parts.is_empty() || self.files.contains_key(&key) {
            return;
        }
        let part_key = |number| part(rendition, segment.epoch, number);
        let parts: Option<Vec<_>> =
            segment.parts.iter().map(|part| self.files.get(&part_key(part.number))).collect();
        let Some(parts) = parts else { return };
        // As much as it takes: a buffer that grows takes up to twice that, and keeps it.
        let mut whole = BytesMut::with_capacity(parts.iter().map(|part| part.data.len()).sum());
        for part in parts {
            whole.extend_from_slice(&part.data);
        }
        let whole = self.budget.count(whole.freeze());
        let mut offset = 0_usize;
        let mut freed = 0_usize;
        for part in &segment.parts {
            if let Some(held) = self.files.get_mut(&part_key(part.number)) {
                let end = offset.saturating_add(held.data.len());
                held.data = whole.slice(offset..end);
                freed = freed.saturating_add(std::mem::take(&mut held.cost));
                offset = end;
            }
        }
        self.hold(self.bytes.saturating_sub(freed));
        self.keep(key, whole, now);
    }

    /// Gives up what the stream may hold no longer. Its follower calls this each second too, because the other streams may have grown, and
    /// only a stream itself gives its media up.
    pub(crate) fn make_room(&mut self) {
        let most = self.budget.most().min(self.limit);
        while (self.bytes > most || self.files.len() > MAX_FILES) && self.drop_first() {}
    }

    /// Forgets what came longer than `span` ago. Inits stay: they are small, and a paused player needs its one again.
    pub(crate) fn expire(&mut self, now: Instant, span: Duration) {
        let mut order = std::mem::take(&mut self.order);
        order.retain(|(at, key)| {
            let stays = now.saturating_duration_since(*at) <= span || matches!(key.file, MediaFile::Init(_));
            if !stays {
                self.forget(key);
            }
            stays
        });
        self.order = order;
    }

    /// False when it is there already, or larger than all that the stream may have.
    fn insert(&mut self, key: &FileKey, data: Bytes) -> bool {
        if self.files.contains_key(key) || data.len() > self.limit {
            return false;
        }
        let cost = data.len();
        self.files.insert(key.clone(), Held { data, cost });
        self.hold(self.bytes.saturating_add(cost));
        true
    }

    fn drop_first(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_front() else { return false };
        self.forget(&key);
        true
    }

    fn forget(&mut self, key: &FileKey) {
        if let Some(held) = self.files.remove(key) {
            self.hold(self.bytes.saturating_sub(held.cost));
        }
    }

    fn hold(&mut self, bytes: usize) {
        self.budget.hold(self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.hold(0);
    }
}

/// The key of a part.
pub(crate) fn part(
    rendition: &RenditionName,
    epoch: Epoch,
    number: caudal_livestream::PartNumber,
) -> FileKey {
    FileKey { rendition: rendition.clone(), file: MediaFile::Part(epoch, number) }
}

/// Of one stream. Ten renditions have 500 in the 90 s that they are kept at most; a worker may announce parts of a byte each, and
/// their entries take memory too.
const MAX_FILES: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use caudal_livestream::timeline::{Part, SegmentPhase};
    use caudal_livestream::{MediaDuration, MediaTime, Msn, PartNumber, UnixMillis};

    fn alone(limit: usize) -> Memory {
        Memory::new(limit, Arc::new(MediaBudget::new(None)))
    }

    fn source() -> RenditionName {
        "source".parse().unwrap()
    }

    fn part_key(number: u64) -> FileKey {
        part(&source(), Epoch(1), PartNumber(number))
    }

    fn segment(parts: std::ops::Range<u64>) -> Segment {
        let part = |number| Part {
            number: PartNumber(number),
            duration: MediaDuration::from_millis(200),
            size: 4,
            independent: false,
        };
        Segment {
            msn: Msn(7),
            epoch: Epoch(1),
            start: MediaTime(0),
            duration: MediaDuration::from_secs(2),
            discontinuity: 0,
            program_date_time: UnixMillis(0),
            init: None,
            phase: SegmentPhase::Finished,
            gap: false,
            independent: true,
            lead_in: false,
            size: 8,
            parts: parts.map(part).collect(),
        }
    }

    fn segment_key() -> FileKey {
        FileKey { rendition: source(), file: MediaFile::Segment(Msn(7), Epoch(1)) }
    }

    #[test]
    fn a_finished_segment_is_its_parts_end_to_end_and_costs_no_more_memory() {
        let now = Instant::now();
        let mut memory = alone(1000);
        memory.put(part_key(0), Bytes::from_static(b"abcd"), now);
        memory.put(part_key(1), Bytes::from_static(b"efgh"), now);
        memory.finish(&source(), &segment(0..2), now);
        assert_eq!(memory.get(&segment_key()).unwrap(), "abcdefgh");
        assert_eq!(memory.get(&part_key(1)).unwrap(), "efgh");
        assert_eq!(memory.bytes, 8);
    }

    #[test]
    fn a_segment_with_a_part_missing_is_not_made() {
        let mut memory = alone(1000);
        memory.put(part_key(1), Bytes::from_static(b"efgh"), Instant::now());
        memory.finish(&source(), &segment(0..2), Instant::now());
        assert_eq!(memory.get(&segment_key()), None);
    }

    #[test]
    fn the_oldest_goes_first_when_there_is_no_room() {
        let now = Instant::now();
        let mut memory = alone(10);
        for number in 0..4 {
            memory.put(part_key(number), Bytes::from_static(b"abcd"), now);
        }
        assert!(memory.get(&part_key(1)).is_none() && memory.get(&part_key(3)).is_some());
        assert_eq!(memory.bytes, 8);
        memory.put(part_key(9), Bytes::from_static(b"longer than all"), now);
        assert_eq!(memory.bytes, 8);
    }

    #[test]
    fn the_oldest_goes_first_of_files_that_are_too_many_and_take_no_room() {
        let mut memory = alone(10);
        for number in 0..20_000 {
            memory.put(part_key(number), Bytes::new(), Instant::now());
        }
        assert_eq!((memory.files.len(), memory.order.len()), (MAX_FILES, MAX_FILES));
        assert!(memory.get(&part_key(0)).is_none() && memory.get(&part_key(19_999)).is_some());
    }

    #[test]
    fn a_stream_gives_up_its_oldest_media_for_the_others_and_gets_room_again_when_they_are_gone() {
        let now = Instant::now();
        let budget = Arc::new(MediaBudget::new(Some(16)));
        let mut large = Memory::new(1000, Arc::clone(&budget));
        for number in 0..4 {
            large.put(part_key(number), Bytes::from_static(b"abcd"), now);
        }
        assert_eq!(large.bytes, 16);
        let mut small = Memory::new(1000, Arc::clone(&budget));
        small.put(part_key(0), Bytes::from_static(b"efgh"), now);
        large.put(part_key(4), Bytes::from_static(b"abcd"), now);
        assert_eq!((large.bytes, small.bytes), (12, 4));
        assert!(large.get(&part_key(1)).is_none() && large.get(&part_key(4)).is_some());
        small.put(part_key(1), Bytes::from_static(b"efgh"), now);
        large.make_room();
        assert_eq!((large.bytes, small.bytes), (8, 8), "although nothing comes for it");
        drop(small);
        for number in 5..7 {
            large.put(part_key(number), Bytes::from_static(b"abcd"), now);
        }
        assert_eq!(large.bytes, 16);
    }

    #[test]
    fn streams_that_come_late_soon_hold_as_much_as_early_ones_beside_many_that_hold_little() {
        let budget = Arc::new(MediaBudget::new(Some(6000)));
        let none_yet = || (0..10).map(|_| Memory::new(100_000, Arc::clone(&budget))).collect::<Vec<_>>();
        let (mut early, mut late) = (none_yet(), none_yet());
        // They halve the even share, and use next to nothing of it.
        let mut small = none_yet();
        for memory in &mut small {
            memory.put(part_key(0), Bytes::from_static(b"e"), Instant::now());
        }
        let part = Bytes::from_static(&[0; 10]);
        let grow = |memories: &mut [Memory], numbers: std::ops::Range<u64>| {
            for number in numbers {
                for memory in memories.iter_mut() {
                    memory.put(part_key(number), part.clone(), Instant::now());
                }
            }
        };
        grow(&mut early, 0..100);
        assert!(early.iter().all(|memory| (590..=600).contains(&memory.bytes)));
        let mut all = early;
        all.append(&mut late);
        grow(&mut all, 100..150);
        assert!(all.iter().all(|memory| (290..=300).contains(&memory.bytes)));
        assert!(small.iter().all(|memory| memory.bytes == 1));
    }

    #[test]
    fn what_comes_from_storage_is_kept_where_there_is_room_and_drives_nothing_of_the_feed_out() {
        let now = Instant::now();
        let budget = Arc::new(MediaBudget::new(Some(16)));
        let mut memory = Memory::new(12, Arc::clone(&budget));
        let mut other = Memory::new(100, budget);
        let stored = || Bytes::from_static(b"stored");
        memory.put(part_key(1), Bytes::from_static(b"abcd"), now);
        memory.put_stored(part_key(0), stored(), now);
        assert_eq!(memory.get(&part_key(0)), Some(stored()));
        memory.put(part_key(2), Bytes::from_static(b"efgh"), now);
        assert!(memory.get(&part_key(0)).is_none() && memory.get(&part_key(1)).is_some());
        memory.put_stored(part_key(0), stored(), now);
        assert_eq!((memory.get(&part_key(0)), memory.bytes), (None, 8), "more than the stream may have");
        other.put(part_key(1), Bytes::from_static(b"ijkl"), now);
        other.put_stored(part_key(0), stored(), now);
        assert_eq!((other.get(&part_key(0)), other.bytes), (None, 4), "more than all may have");
        memory.put_stored(part_key(3), Bytes::from_static(b"mn"), now + Duration::from_secs(9));
        memory.expire(now + Duration::from_secs(10), Duration::from_secs(5));
        assert_eq!((memory.bytes, memory.files.len(), memory.order.len()), (2, 1, 1));
    }

    #[test]
    fn readers_that_take_their_time_keep_little_more_than_the_limit_and_a_fifth() {
        let budget = Arc::new(MediaBudget::new(Some(400)));
        let mut memory = Memory::new(1000, Arc::clone(&budget));
        let mut unread = Vec::new();
        for number in 0..300 {
            memory.put(part_key(number), Bytes::from(vec![7; 4]), Instant::now());
            // Each part is asked for at once, and read when the test ends.
            if let Some(part) = memory.get(&part_key(number))
                && budget.admit(&part).is_ok()
            {
                unread.push(part);
            }
            // What is given up for them may be read too, so it takes a few parts until it is enough.
            assert!(memory.bytes + budget.living_unheld() <= 560, "{number}");
        }
        assert!(unread.len() >= 100);
        drop(unread);
        memory.put(part_key(300), Bytes::from(vec![7; 4]), Instant::now());
        assert_eq!(memory.get(&part_key(300)).map(|part| part.len()), Some(4));
    }

    #[test]
    fn what_is_still_being_sent_is_counted_until_its_last_reader_has_it() {
        let budget = Arc::new(MediaBudget::new(Some(10_000)));
        let mut memory = Memory::new(16, Arc::clone(&budget));
        let mut unread = Vec::new();
        for number in 0..300 {
            let now = Instant::now();
            // Who waited for it, and who finds it.
            unread.push(memory.put(part_key(number), Bytes::from(vec![7; 4]), now));
            unread.push(memory.get(&part_key(number)).unwrap());
        }
        assert_eq!((memory.bytes, budget.living_unheld()), (16, 1184));
        // A part of a segment that is whole keeps all of it.
        memory.finish(&source(), &segment(298..300), Instant::now());
        let part = memory.get(&part_key(299)).unwrap();
        drop(unread);
        assert_eq!(budget.living_unheld(), 0);
        drop(memory);
        assert_eq!(budget.living_unheld(), 8);
        drop(part);
        assert_eq!(budget.living_unheld(), 0);
    }

    #[test]
    fn what_is_old_is_forgotten_but_not_an_init() {
        let start = Instant::now();
        let init = FileKey { rendition: source(), file: MediaFile::Init("ab".parse().unwrap()) };
        let mut memory = alone(100);
        memory.put(init.clone(), Bytes::from_static(b"i"), start);
        memory.put(part_key(0), Bytes::from_static(b"old"), start);
        memory.put(part_key(1), Bytes::from_static(b"new"), start + Duration::from_secs(9));
        memory.expire(start + Duration::from_secs(10), Duration::from_secs(5));
        assert!(memory.get(&part_key(0)).is_none());
        assert!(memory.get(&part_key(1)).is_some() && memory.get(&init).is_some());
        assert_eq!((memory.bytes, memory.files.len(), memory.order.len()), (4, 2, 2));
    }
}
