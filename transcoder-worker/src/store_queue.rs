//! What waits to be stored.

use std::collections::VecDeque;

use bytes::Bytes;
use caudal_livestream::{Epoch, InitHash, Msn, RenditionName};

/// Initialization segments and finished segments, in the order they were made. Bounded in bytes: when storage takes
/// nothing for so long, the oldest segments are given up, and the live edge goes on.
///
/// What storage refused is tried again beside what it was not asked for yet, so that a rendition that it does not take, or a segment
/// that is too long for a slow link, keeps nothing else waiting.
#[derive(Debug, Default)]
pub(crate) struct StoreQueue {
    new: VecDeque<StoreJob>,
    refused: VecDeque<StoreJob>,
    /// What was taken out and is not done.
    under_way: Vec<(RenditionName, Kind)>,
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
        !self.refused.is_empty() || self.under_way.iter().any(|(_, kind)| kind.attempt == Attempt::Another)
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
        }
        removed
    }

    /// The next to be stored for the first time: initialization segments come before the rendition's segments, so that none is ever
    /// without its own.
    pub(crate) fn next_new(&mut self) -> Option<StoreJob> {
        let init = self.new.iter().position(|job| job.segment().is_none());
        let next = init.or_else(|| self.new.iter().position(|job| !self.lacks_init(job)))?;
        let job = self.new.remove(next)?;
        self.take_out(&job, Attempt::First);
        Some(job)
    }

    /// The next of those that storage refused, of a rendition of which no other one is being tried again.
    pub(crate) fn next_refused(&mut self) -> Option<StoreJob> {
        let tried = |job: &StoreJob| {
            let again = |(rendition, kind): &(RenditionName, Kind)| {
                kind.attempt == Attempt::Another && rendition == job.rendition()
            };
            self.under_way.iter().any(again)
        };
        if self.under_way.iter().filter(|(_, kind)| kind.attempt == Attempt::Another).count() >= MAX_REFUSED {
            return None;
        }
        let next = self.refused.iter().position(|job| !tried(job) && !self.lacks_init(job))?;
        let job = self.refused.remove(next)?;
        self.take_out(&job, Attempt::Another);
        Some(job)
    }

    /// A job that was taken out is done.
    pub(crate) fn stored(&mut self, job: &StoreJob, attempt: Attempt) {
        let taken = (job.rendition().clone(), job.kind(attempt));
        if let Some(at) = self.under_way.iter().position(|under_way| *under_way == taken) {
            self.under_way.swap_remove(at);
        }
    }

    /// Puts back what could not be stored, behind all that was refused before.
    pub(crate) fn refuse(&mut self, job: StoreJob, attempt: Attempt) {
        self.stored(&job, attempt);
        self.bytes = self.bytes.saturating_add(job.size());
        self.refused.push_back(job);
    }

    fn take_out(&mut self, job: &StoreJob, attempt: Attempt) {
        self.bytes = self.bytes.saturating_sub(job.size());
        self.under_way.push((job.rendition().clone(), job.kind(attempt)));
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

/// Jobs that are tried again at the same time; one less than [`PARALLEL_PUTS`](crate::storage_writer::PARALLEL_PUTS), so that what is
/// new never waits for their deadlines.
const MAX_REFUSED: usize = 4;

#[cfg(test)]
mod tests {
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
        assert_eq!(queue.next_new(), Some(StoreJob::Segment(segment("audio", 7))));
    }

    #[test]
    fn what_was_refused_is_tried_again_in_turn_one_of_a_rendition_at_a_time() {
        let mut queue = StoreQueue::new(10_000);
        for (rendition, msn) in [("720p", 7), ("720p", 8), ("source", 7), ("source", 8)] {
            queue.push_segment(segment(rendition, msn));
            let job = queue.next_new().unwrap();
            assert_eq!(job, StoreJob::Segment(segment(rendition, msn)));
            queue.refuse(job, Attempt::First);
        }
        assert_eq!((queue.bytes(), queue.next_new()), (400, None));
        for msn in [7, 8, 7] {
            let jobs = [queue.next_refused().unwrap(), queue.next_refused().unwrap()];
            assert_eq!(jobs, ["720p", "source"].map(|name| StoreJob::Segment(segment(name, msn))));
            assert_eq!(queue.next_refused(), None);
            for job in jobs {
                queue.refuse(job, Attempt::Another);
            }
        }
        assert!(queue.has_refused() && !queue.is_empty());
    }

    #[test]
    fn a_segment_waits_for_its_renditions_init_alone() {
        let mut queue = StoreQueue::new(10_000);
        queue.push_segment(segment("720p", 7));
        queue.push_segment(segment("source", 7));
        let hash = "abc".parse().unwrap();
        queue.push_init(InitJob { rendition: "720p".parse().unwrap(), hash, data: Bytes::new() });
        let init = queue.next_new().unwrap();
        assert!(matches!(init, StoreJob::Init(_)));
        assert_eq!(queue.next_new(), Some(StoreJob::Segment(segment("source", 7))));
        assert_eq!(queue.next_new(), None);
        queue.refuse(init, Attempt::First);
        assert_eq!(queue.next_new(), None);
        let init = queue.next_refused().unwrap();
        queue.stored(&init, Attempt::Another);
        assert_eq!(queue.next_new(), Some(StoreJob::Segment(segment("720p", 7))));
    }
}
