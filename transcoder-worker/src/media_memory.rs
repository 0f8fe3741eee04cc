//! Parts and segments that readers can fetch from the worker.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caudal_livestream::{Epoch, InitHash, Msn, PartNumber, RenditionName};
use tokio::time::Instant;

/// The last parts and segments of every rendition. Parts and the segments they make up share their bytes.
pub(crate) struct MediaMemory {
    tracks: HashMap<RenditionName, TrackMemory>,
    keep: Duration,
    limit: usize,
    bytes: usize,
}

#[derive(Default)]
struct TrackMemory {
    inits: BTreeMap<InitHash, Bytes>,
    segments: VecDeque<HeldSegment>,
}

/// A segment, whole or growing, with its parts.
struct HeldSegment {
    msn: Msn,
    epoch: Epoch,
    /// Each piece with the part number it was announced under; none for a segment that came whole.
    pieces: Vec<(Option<PartNumber>, Bytes)>,
    whole: bool,
    stored: bool,
    last_change: Instant,
}

/// A file as it is named in URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MediaFile {
    /// `p{epoch}-{n}.m4s`
    Part(Epoch, PartNumber),
    /// `{msn}-{epoch}.m4s`
    Segment(Msn, Epoch),
    /// `init-{hash}.mp4`
    Init(InitHash),
}

impl MediaFile {
    /// Reads a file's name; none when it is not one of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if let Some(hash) = name.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
            return hash.parse().ok().map(Self::Init);
        }
        let stem = name.strip_suffix(".m4s")?;
        if let Some(part) = stem.strip_prefix('p') {
            let (epoch, number) = part.split_once('-')?;
            return Some(Self::Part(epoch.parse().ok()?, number.parse().ok()?));
        }
        let (msn, epoch) = stem.split_once('-')?;
        Some(Self::Segment(msn.parse().ok()?, epoch.parse().ok()?))
    }
}

impl MediaMemory {
    /// Keeps everything for `keep` at least, but no more than `limit` bytes.
    pub(crate) fn new(keep: Duration, limit: usize) -> Self {
        Self { tracks: HashMap::new(), keep, limit, bytes: 0 }
    }

    /// How long parts stay; known once the target duration is.
    pub(crate) fn keep_for(&mut self, keep: Duration) {
        self.keep = keep;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn add_init(&mut self, rendition: &RenditionName, hash: InitHash, data: Bytes) {
        self.bytes = self.bytes.saturating_add(data.len());
        if let Some(old) = self.track(rendition).inits.insert(hash, data) {
            self.bytes = self.bytes.saturating_sub(old.len());
        }
    }

    pub(crate) fn add_part(
        &mut self,
        rendition: &RenditionName,
        (msn, epoch): (Msn, Epoch),
        number: PartNumber,
        data: Bytes,
        now: Instant,
    ) {
        self.bytes = self.bytes.saturating_add(data.len());
        let segments = &mut self.track(rendition).segments;
        match segments.back_mut() {
            Some(last) if last.msn == msn && last.epoch == epoch && !last.whole => {
                last.pieces.push((Some(number), data));
                last.last_change = now;
            }
            _ => segments.push_back(HeldSegment {
                msn,
                epoch,
                pieces: vec![(Some(number), data)],
                whole: false,
                stored: false,
                last_change: now,
            }),
        }
        self.forget_old(now);
    }

    /// The segment has all its parts. Returns its pieces, none when it has no media.
    pub(crate) fn finish(&mut self, rendition: &RenditionName, msn: Msn, epoch: Epoch) -> Vec<Bytes> {
        let segment =
            self.track(rendition).segments.iter_mut().rev().find(|s| s.msn == msn && s.epoch == epoch);
        let Some(segment) = segment else { return Vec::new() };
        segment.whole = true;
        segment.pieces.iter().map(|(_, data)| data.clone()).collect()
    }

    /// A segment that was made without parts.
    pub(crate) fn add_whole(
        &mut self,
        rendition: &RenditionName,
        (msn, epoch): (Msn, Epoch),
        data: Bytes,
        now: Instant,
    ) {
        self.bytes = self.bytes.saturating_add(data.len());
        self.track(rendition).segments.push_back(HeldSegment {
            msn,
            epoch,
            pieces: vec![(None, data)],
            whole: true,
            stored: false,
            last_change: now,
        });
        self.forget_old(now);
    }

    /// Storage has it, or has been given up on: it need not be kept longer than its parts.
    pub(crate) fn settled(&mut self, rendition: &RenditionName, msn: Msn) {
        for segment in self.track(rendition).segments.iter_mut().filter(|segment| segment.msn == msn) {
            segment.stored = true;
        }
    }

    /// A file's bytes; none when it is not here (any more).
    pub(crate) fn get(&self, rendition: &RenditionName, file: &MediaFile) -> Option<Bytes> {
        let track = self.tracks.get(rendition)?;
        match file {
            MediaFile::Init(hash) => track.inits.get(hash).cloned(),
            MediaFile::Part(epoch, number) => track
                .segments
                .iter()
                .rev()
                .filter(|segment| segment.epoch == *epoch)
                .flat_map(|segment| segment.pieces.iter())
                .find(|(found, _)| *found == Some(*number))
                .map(|(_, data)| data.clone()),
            MediaFile::Segment(msn, epoch) => {
                let whole =
                    |segment: &&HeldSegment| segment.msn == *msn && segment.epoch == *epoch && segment.whole;
                track.segments.iter().rev().find(whole).map(|segment| join(&segment.pieces))
            }
        }
    }

    fn track(&mut self, rendition: &RenditionName) -> &mut TrackMemory {
        self.tracks.entry(rendition.clone()).or_default()
    }

    fn forget_old(&mut self, now: Instant) {
        for track in self.tracks.values_mut() {
            while let Some(first) = track.segments.front() {
                let old = now.duration_since(first.last_change) > self.keep;
                // One that was never finished before the next began is of no use: its rung was withdrawn meanwhile.
                let broken_off = !first.whole && track.segments.len() > 1;
                // Unstored segments go only when memory is full, oldest first; the open one never.
                let over = self.bytes > self.limit && (first.whole || broken_off);
                if !(old && (first.stored || broken_off) || over) {
                    break;
                }
                let freed: usize = first.pieces.iter().map(|(_, data)| data.len()).sum();
                self.bytes = self.bytes.saturating_sub(freed);
                track.segments.pop_front();
            }
        }
    }
}

/// Segments are fetched whole only until storage has them, by one edge each, so this copy is rare.
pub(crate) fn join(pieces: &[(Option<PartNumber>, Bytes)]) -> Bytes {
    if let [(_, only)] = pieces {
        return only.clone();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(|(_, data)| data.len()).sum());
    for (_, data) in pieces {
        whole.extend_from_slice(data);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> RenditionName {
        "source".parse().unwrap()
    }

    fn fill(memory: &mut MediaMemory, msn: u64, now: Instant) {
        for n in 0..2 {
            let data = Bytes::from(vec![u8::try_from(msn).unwrap(); 10]);
            memory.add_part(&source(), (Msn(msn), Epoch(1)), PartNumber(msn * 2 + n), data, now);
        }
    }

    #[test]
    fn file_names_are_read_and_everything_else_is_not() {
        assert_eq!(MediaFile::parse("p3-17.m4s"), Some(MediaFile::Part(Epoch(3), PartNumber(17))));
        assert_eq!(MediaFile::parse("9-3.m4s"), Some(MediaFile::Segment(Msn(9), Epoch(3))));
        assert_eq!(MediaFile::parse("init-0a.mp4"), Some(MediaFile::Init("0a".parse().unwrap())));
        for other in
            ["", ".m4s", "p.m4s", "p1.m4s", "1.m4s", "init-.mp4", "init-a/b.mp4", "p-1-1.m4s", "index.m3u8"]
        {
            assert_eq!(MediaFile::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_segment_is_its_parts_and_is_there_once_it_is_whole() {
        let now = Instant::now();
        let mut memory = MediaMemory::new(Duration::from_secs(12), 1000);
        fill(&mut memory, 7, now);
        let segment = MediaFile::Segment(Msn(7), Epoch(1));
        assert_eq!(memory.get(&source(), &segment), None);
        assert_eq!(memory.get(&source(), &MediaFile::Part(Epoch(1), PartNumber(15))).unwrap().len(), 10);
        assert_eq!(
            memory.get(&source(), &MediaFile::Part(Epoch(2), PartNumber(15))),
            None,
            "another epoch's"
        );
        assert_eq!(memory.finish(&source(), Msn(7), Epoch(1)).len(), 2);
        assert_eq!(memory.get(&source(), &segment).unwrap(), vec![7; 20]);
    }

    #[test]
    fn what_is_stored_goes_with_its_time_and_what_is_not_stays() {
        let begun = Instant::now();
        let mut memory = MediaMemory::new(Duration::from_secs(12), 1000);
        for msn in [7, 8] {
            fill(&mut memory, msn, begun);
            memory.finish(&source(), Msn(msn), Epoch(1));
        }
        let later = begun + Duration::from_secs(13);
        fill(&mut memory, 9, later);
        assert!(memory.get(&source(), &MediaFile::Segment(Msn(7), Epoch(1))).is_some(), "not stored yet");
        memory.settled(&source(), Msn(7));
        fill(&mut memory, 9, later);
        assert_eq!(memory.get(&source(), &MediaFile::Segment(Msn(7), Epoch(1))), None);
        assert!(memory.get(&source(), &MediaFile::Segment(Msn(8), Epoch(1))).is_some());
        assert_eq!(memory.bytes(), 60);
    }

    #[test]
    fn a_segment_that_was_broken_off_does_not_keep_those_behind_it() {
        let begun = Instant::now();
        let mut memory = MediaMemory::new(Duration::from_secs(12), 1000);
        fill(&mut memory, 7, begun);
        for msn in 30..35 {
            let now = begun + Duration::from_secs(13 * (msn - 28));
            fill(&mut memory, msn, now);
            memory.finish(&source(), Msn(msn), Epoch(1));
            memory.settled(&source(), Msn(msn));
            assert_eq!(memory.bytes(), 20, "{msn}");
        }
    }

    #[test]
    fn memory_has_a_bound_whatever_storage_does() {
        let now = Instant::now();
        let mut memory = MediaMemory::new(Duration::from_secs(12), 100);
        for msn in 7..50 {
            fill(&mut memory, msn, now);
            memory.finish(&source(), Msn(msn), Epoch(1));
            assert!(memory.bytes() <= 120, "{}", memory.bytes());
        }
    }
}
