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
    /// In the order in which they came; each key of `files` once.
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
        budget.join();
        Self { files: HashMap::new(), order: VecDeque::new(), bytes: 0, limit, budget }
    }

    pub(crate) fn get(&self, key: &FileKey) -> Option<Bytes> {
        self.files.get(key).map(|held| held.data.clone())
    }

    /// Keeps a file; the first version of it stays.
    pub(crate) fn put(&mut self, key: FileKey, data: Bytes, now: Instant) {
        if self.files.contains_key(&key) || data.len() > self.limit {
            return;
        }
        let cost = data.len();
        self.bytes = self.bytes.saturating_add(cost);
        self.budget.take(cost);
        self.files.insert(key.clone(), Held { data, cost });
        self.order.push_back((now, key));
        while self.bytes > self.limit || self.budget.is_exceeded_by(self.bytes) {
            if !self.drop_oldest() {
                break;
            }
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
        let whole = whole.freeze();
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
        self.give_back(freed);
        self.put(key, whole, now);
    }

    /// Forgets what came longer than `span` ago. Inits stay: they are small, and a paused player needs its one again.
    pub(crate) fn expire(&mut self, now: Instant, span: Duration) {
        let mut kept = VecDeque::new();
        while let Some((at, _)) = self.order.front() {
            if now.saturating_duration_since(*at) <= span {
                break;
            }
            let Some((at, key)) = self.order.pop_front() else { break };
            if matches!(key.file, MediaFile::Init(_)) {
                kept.push_back((at, key));
            } else {
                self.forget(&key);
            }
        }
        while let Some(entry) = kept.pop_back() {
            self.order.push_front(entry);
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_front() else { return false };
        self.forget(&key);
        true
    }

    fn forget(&mut self, key: &FileKey) {
        if let Some(held) = self.files.remove(key) {
            self.give_back(held.cost);
        }
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.budget.give_back(bytes);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.give_back(self.bytes);
        self.budget.leave();
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
        drop(small);
        large.put(part_key(5), Bytes::from_static(b"abcd"), now);
        assert_eq!(large.bytes, 16);
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
