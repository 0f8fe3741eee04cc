//! What waits to be stored, and what comes next.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use caudal_livestream::{Epoch, InitHash, Msn, RenditionName};
use tokio::time::Instant;

use crate::outage::pause_after;

/// Initialization segments and finished segments, in the order they were made. Bounded in bytes: when storage takes
/// nothing for so long, the oldest segments are given up, and the live edge goes on.
///
/// What storage refused is tried again beside what it was not asked for yet, so that a rendition that it does not take, or a segment
/// that is too long for a slow link, keeps nothing else waiting: a rendition of which something was refused has a pause of its own, and
/// one file of it is under way at a time.
#[derive(Debug, Default)]
pub(crate) struct StoreQueue {
    new: VecDeque<StoreJob>,
    refused: VecDeque<StoreJob>,
    /// What was taken out and is not done.
    under_way: Vec<(RenditionName, Kind)>,
    /// Of each rendition of which something that storage refused is not stored yet, and of no other one.
    pauses: HashMap<RenditionName, Pause>,
    bytes: usize,
    limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreJob {
    Init(InitJob),
    Segment(SegmentJob),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    init: bool,
    attempt: Attempt,
}

/// Until something that was refused is tried again.
#[derive(Clone, Copy, Debug)]
struct Pause {
    over: Instant,
    /// Tries in vain, of the first file that was refused or of what was tried again.
    failures: u32,
}

/// Whether storage refused a job before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    First,
    Another,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitJob {
    pub(crate) rendition: RenditionName,
    pub(crate) hash: InitHash,
    pub(crate) data: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentJob {
    pub(crate) rendition: RenditionName,
    pub(crate) msn: Msn,
    pub(crate) epoch: Epoch,
    /// The segment's bytes, in pieces.
    pub(crate) pieces: Vec<Bytes>,
}

impl SegmentJob {
    pub(crate) fn size(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

impl StoreQueue {
    /// Holds up to `limit` bytes of segments.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.refused.is_empty()
    }

    /// Something that storage refused is not stored yet.
    pub(crate) fn has_refused(&self) -> bool {
        !self.pauses.is_empty()
    }

    /// When the next pause ends; none when none is running.
    pub(crate) fn pause_over(&self, now: Instant) -> Option<Instant> {
        self.pauses.values().map(|pause| pause.over).filter(|over| *over > now).min()
    }

    pub(crate) fn push_init(&mut self, job: InitJob) {
        self.new.push_back(StoreJob::Init(job));
    }

    /// Adds a segment. Returns those that were given up for it.
    pub(crate) fn push_segment(&mut self, job: SegmentJob) -> Vec<SegmentJob> {
        self.bytes = self.bytes.saturating_add(job.size());
        self.new.push_back(StoreJob::Segment(job));
        let mut given_up = Vec::new();
        while self.bytes > self.limit && self.segments().count() > 1 {
            let oldest = self.segments().min_by_key(|job| job.msn);
            let Some((rendition, msn)) = oldest.map(|job| (job.rendition.clone(), job.msn)) else { break };
            given_up.extend(self.remove(|job| job.rendition == rendition && job.msn == msn));
        }
        given_up
    }

    /// Gives up the rendition's segments that left the live window.
    pub(crate) fn window_moved(&mut self, rendition: &RenditionName, start: Msn) -> Vec<SegmentJob> {
        self.remove(|job| job.rendition == *rendition && job.msn < start)
    }

    fn segments(&self) -> impl Iterator<Item = &SegmentJob> {
        self.refused.iter().chain(&self.new).filter_map(StoreJob::segment)
    }

    fn remove(&mut self, gone: impl Fn(&SegmentJob) -> bool) -> Vec<SegmentJob> {
        let removed: Vec<_> = self.segments().filter(|job| gone(job)).cloned().collect();
        if !removed.is_empty() {
            for queue in [&mut self.refused, &mut self.new] {
                queue.retain(|job| !job.segment().is_some_and(&gone));
            }
            self.bytes = self.segments().map(SegmentJob::size).sum();
            self.forget_pauses();
        }
        removed
    }

    /// The next to be stored, if anything may be now. Initialization segments come before the rendition's segments, so that none is
    /// ever without its own. What is new of a rendition of which nothing was refused comes first; then what was refused and has
    /// waited long enough; and in the pause between two such tries, what is new of the same rendition.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(StoreJob, Attempt)> {
        if let Some(at) = self.first_new(|rendition| !self.pauses.contains_key(rendition)) {
            return self.take_out(at, Attempt::First);
        }
        let is_in_trouble = |(rendition, _): &&(RenditionName, Kind)| self.pauses.contains_key(rendition);
        if self.under_way.iter().filter(is_in_trouble).count() >= MAX_IN_TROUBLE {
            return None;
        }
        let is_free = |rendition: &RenditionName| !self.under_way.iter().any(|(name, _)| name == rendition);
        let is_due = |rendition: &RenditionName| {
            is_free(rendition) && self.pauses.get(rendition).is_none_or(|pause| now >= pause.over)
        };
        let refused = self.refused.iter().position(|job| is_due(job.rendition()) && !self.lacks_init(job));
        if let Some(at) = refused {
            return self.take_out(at, Attempt::Another);
        }
        let at = self.first_new(is_free)?;
        self.take_out(at, Attempt::First)
    }

    /// A job that was taken out is done.
    pub(crate) fn stored(&mut self, job: &StoreJob, attempt: Attempt) {
        self.end(job, attempt);
        self.forget_pauses();
    }

    /// Puts back what could not be stored, behind all that was refused before.
    pub(crate) fn refuse(&mut self, job: StoreJob, attempt: Attempt, now: Instant) {
        self.end(&job, attempt);
        let pause = self.pauses.entry(job.rendition().clone()).or_insert(Pause { over: now, failures: 0 });
        // What is new may be refused more often than a pause is long, and makes none longer.
        if attempt == Attempt::Another || pause.failures == 0 {
            pause.over = now + pause_after(pause.failures);
            pause.failures = pause.failures.saturating_add(1);
        }
        self.bytes = self.bytes.saturating_add(job.size());
        self.refused.push_back(job);
    }

    /// Where in `new` the next one is of the renditions that are `wanted`.
    fn first_new(&self, wanted: impl Fn(&RenditionName) -> bool) -> Option<usize> {
        let mut jobs = self.new.iter();
        let init = jobs.position(|job| job.segment().is_none() && wanted(job.rendition()));
        init.or_else(|| self.new.iter().position(|job| wanted(job.rendition()) && !self.lacks_init(job)))
    }

    fn take_out(&mut self, at: usize, attempt: Attempt) -> Option<(StoreJob, Attempt)> {
        let queue = match attempt {
            Attempt::First => &mut self.new,
            Attempt::Another => &mut self.refused,
        };
        let job = queue.remove(at)?;
        self.bytes = self.bytes.saturating_sub(job.size());
        self.under_way.push((job.rendition().clone(), job.kind(attempt)));
        Some((job, attempt))
    }

    fn end(&mut self, job: &StoreJob, attempt: Attempt) {
        let taken = (job.rendition().clone(), job.kind(attempt));
        if let Some(at) = self.under_way.iter().position(|under_way| *under_way == taken) {
            self.under_way.swap_remove(at);
        }
    }

    fn forget_pauses(&mut self) {
        let Self { pauses, refused, under_way, .. } = self;
        pauses.retain(|rendition, _| {
            refused.iter().any(|job| job.rendition() == rendition)
                || under_way.iter().any(|(name, kind)| name == rendition && kind.attempt == Attempt::Another)
        });
    }

    /// A segment whose rendition has an initialization segment that is not stored yet.
    fn lacks_init(&self, job: &StoreJob) -> bool {
        let of_it = |init: &StoreJob| init.segment().is_none() && init.rendition() == job.rendition();
        let under_way = |(rendition, kind): &(RenditionName, Kind)| kind.init && rendition == job.rendition();
        job.segment().is_some()
            && (self.new.iter().chain(&self.refused).any(of_it) || self.under_way.iter().any(under_way))
    }
}

impl StoreJob {
    fn segment(&self) -> Option<&SegmentJob> {
        match self {
            Self::Segment(job) => Some(job),
            Self::Init(_) => None,
        }
    }

    fn rendition(&self) -> &RenditionName {
        match self {
            Self::Init(job) => &job.rendition,
            Self::Segment(job) => &job.rendition,
        }
    }

    fn size(&self) -> usize {
        self.segment().map_or(0, SegmentJob::size)
    }

    fn kind(&self, attempt: Attempt) -> Kind {
        Kind { init: self.segment().is_none(), attempt }
    }
}

/// Jobs that are under way at the same time of renditions of which something was refused; one less than
/// [`PARALLEL_PUTS`](crate::storage_writer::PARALLEL_PUTS), so that the others never wait for their deadlines.
const MAX_IN_TROUBLE: usize = 4;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn segment(rendition: &str, msn: u64) -> SegmentJob {
        SegmentJob {
            rendition: rendition.parse().unwrap(),
            msn: Msn(msn),
            epoch: Epoch(1),
            pieces: vec![Bytes::from_static(&[0; 40]), Bytes::from_static(&[0; 60])],
        }
    }

    #[test]
    fn a_full_queue_gives_up_its_oldest_segments() {
        let mut queue = StoreQueue::new(250);
        assert_eq!(queue.push_segment(segment("source", 7)), []);
        assert_eq!(queue.push_segment(segment("audio", 7)), []);
        assert_eq!(queue.push_segment(segment("source", 8)), [segment("source", 7)]);
        assert_eq!(queue.bytes(), 200);
    }

    #[test]
    fn segments_behind_the_window_are_given_up_in_their_rendition_alone() {
        let mut queue = StoreQueue::new(10_000);
        for msn in 7..10 {
            queue.push_segment(segment("source", msn));
            queue.push_segment(segment("audio", msn));
        }
        assert_eq!(queue.window_moved(&"source".parse().unwrap(), Msn(9)).len(), 2);
        assert_eq!(queue.bytes(), 400);
        assert_eq!(
            next(&mut queue, Instant::now()),
            [("audio", 7), ("audio", 8), ("source", 9), ("audio", 9)]
        );
    }

    #[test]
    fn what_was_refused_is_tried_again_in_turn_one_of_a_rendition_at_a_time() {
        let (mut queue, mut now) = (StoreQueue::new(10_000), Instant::now());
        for (rendition, msn) in [("720p", 7), ("source", 7), ("720p", 8), ("source", 8)] {
            queue.push_segment(segment(rendition, msn));
            refuse(&mut queue, now, (rendition, msn));
        }
        assert_eq!((queue.bytes(), next(&mut queue, now)), (400, vec![]));
        for msn in [7, 8, 7] {
            now = queue.pause_over(now).unwrap();
            let jobs = [queue.next(now).unwrap(), queue.next(now).unwrap()];
            assert_eq!(jobs.each_ref().map(name_of), [("720p", msn), ("source", msn)]);
            assert_eq!(next(&mut queue, now), []);
            for (job, attempt) in jobs {
                assert_eq!(attempt, Attempt::Another);
                queue.refuse(job, attempt, now);
            }
        }
        assert!(queue.has_refused() && !queue.is_empty());
    }

    #[test]
    fn what_was_refused_once_is_tried_again_however_often_what_is_new_is_refused() {
        let (mut queue, begun) = (StoreQueue::new(1_000_000), Instant::now());
        let mut tries = Vec::new();
        for tenth in 0..800_u32 {
            let now = begun + tenth * Duration::from_millis(100);
            if tenth.is_multiple_of(20) {
                let msn = u64::from(tenth / 20);
                queue.push_segment(segment("source", msn));
                queue.window_moved(&"source".parse().unwrap(), Msn(msn.saturating_sub(10)));
            }
            if tenth == 605 {
                queue.push_segment(segment("audio", 7));
            }
            while let Some((job, attempt)) = queue.next(now) {
                let is_audio = name_of(&(job.clone(), attempt)) == ("audio", 7);
                if is_audio {
                    tries.push(tenth);
                }
                if is_audio && attempt == Attempt::Another {
                    queue.stored(&job, attempt);
                } else {
                    queue.refuse(job, attempt, now);
                }
            }
        }
        assert_eq!(tries, [605, 606]);
    }

    #[test]
    fn what_is_new_does_not_keep_what_was_refused_waiting_in_a_rendition_whose_every_put_takes_long() {
        let (mut queue, now) = (StoreQueue::new(10_000), Instant::now());
        queue.push_segment(segment("source", 7));
        refuse(&mut queue, now, ("source", 7));
        for msn in 8..12 {
            queue.push_segment(segment("source", msn));
        }
        let mut tried = Vec::new();
        for deadline in 1..=4 {
            let now = now + deadline * Duration::from_secs(17);
            let (job, attempt) = queue.next(now).unwrap();
            assert_eq!(queue.next(now), None, "one at a time");
            tried.push(name_of(&(job.clone(), attempt)).1);
            queue.refuse(job, attempt, now);
            // At once, in the pause.
            let (job, attempt) = queue.next(now).unwrap();
            tried.push(name_of(&(job.clone(), attempt)).1);
            queue.refuse(job, attempt, now + Duration::from_secs(16));
        }
        assert_eq!(tried, [7, 8, 7, 9, 8, 10, 7, 11]);
    }

    #[test]
    fn renditions_that_storage_does_not_take_leave_the_others_a_place() {
        let (mut queue, now) = (StoreQueue::new(100_000), Instant::now());
        let in_trouble = ["source", "1080p", "720p", "480p", "360p"];
        for rendition in in_trouble {
            queue.push_segment(segment(rendition, 7));
            refuse(&mut queue, now, (rendition, 7));
        }
        for rendition in in_trouble {
            queue.push_segment(segment(rendition, 8));
            queue.push_segment(segment(rendition, 9));
        }
        assert_eq!(next(&mut queue, now), in_trouble.map(|rendition| (rendition, 8))[..4]);
        queue.push_segment(segment("audio", 8));
        queue.push_segment(segment("audio", 9));
        assert_eq!(next(&mut queue, now), [("audio", 8), ("audio", 9)], "both at once");
    }

    #[test]
    fn what_was_given_up_slows_its_rendition_no_longer() {
        let (mut queue, now) = (StoreQueue::new(10_000), Instant::now());
        queue.push_segment(segment("source", 7));
        refuse(&mut queue, now, ("source", 7));
        assert_eq!(queue.window_moved(&"source".parse().unwrap(), Msn(8)).len(), 1);
        assert!(!queue.has_refused() && queue.pause_over(now).is_none());
    }

    #[test]
    fn a_segment_waits_for_its_renditions_init_alone() {
        let (mut queue, now) = (StoreQueue::new(10_000), Instant::now());
        queue.push_segment(segment("720p", 7));
        queue.push_segment(segment("source", 7));
        let hash = "abc".parse().unwrap();
        queue.push_init(InitJob { rendition: "720p".parse().unwrap(), hash, data: Bytes::new() });
        let (init, attempt) = queue.next(now).unwrap();
        assert!(matches!(init, StoreJob::Init(_)));
        assert_eq!(next(&mut queue, now), [("source", 7)]);
        queue.refuse(init, attempt, now);
        assert_eq!(next(&mut queue, now), []);
        let now = queue.pause_over(now).unwrap();
        let (init, attempt) = queue.next(now).unwrap();
        queue.stored(&init, attempt);
        assert_eq!(next(&mut queue, now), [("720p", 7)]);
    }

    /// Takes out the next one, which is to be this segment, and puts it back.
    fn refuse(queue: &mut StoreQueue, now: Instant, segment: (&str, u64)) {
        let (job, attempt) = queue.next(now).unwrap();
        assert_eq!((name_of(&(job.clone(), attempt)), attempt), (segment, Attempt::First));
        queue.refuse(job, attempt, now);
    }

    /// Takes out all that may be under way now.
    fn next(queue: &mut StoreQueue, now: Instant) -> Vec<(&'static str, u64)> {
        std::iter::from_fn(|| queue.next(now)).map(|taken| name_of(&taken)).collect()
    }

    fn name_of((job, _): &(StoreJob, Attempt)) -> (&'static str, u64) {
        let names = ["source", "audio", "1080p", "720p", "480p", "360p"];
        let name = names.into_iter().find(|name| *name == job.rendition().as_str());
        (name.unwrap(), job.segment().map_or(0, |segment| segment.msn.0))
    }
}
