//! What waits to be stored.

use std::collections::VecDeque;

use bytes::Bytes;
use caudal_livestream::{Epoch, InitHash, Msn, RenditionName};

/// Initialization segments and finished segments, in the order they were made. Bounded in bytes: when storage takes
/// nothing for so long, the oldest segments are given up, and the live edge goes on.
#[derive(Debug, Default)]
pub(crate) struct StoreQueue {
    inits: VecDeque<InitJob>,
    segments: VecDeque<SegmentJob>,
    bytes: usize,
    limit: usize,
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
        self.inits.is_empty() && self.segments.is_empty()
    }

    pub(crate) fn push_init(&mut self, job: InitJob) {
        self.inits.push_back(job);
    }

    /// Adds a segment. Returns those that were given up for it.
    pub(crate) fn push_segment(&mut self, job: SegmentJob) -> Vec<SegmentJob> {
        self.bytes = self.bytes.saturating_add(job.size());
        self.segments.push_back(job);
        let mut given_up = Vec::new();
        while self.bytes > self.limit && self.segments.len() > 1 {
            given_up.extend(self.pop_segment());
        }
        given_up
    }

    /// Gives up the rendition's segments that left the live window.
    pub(crate) fn window_moved(&mut self, rendition: &RenditionName, start: Msn) -> Vec<SegmentJob> {
        let gone = |job: &SegmentJob| job.rendition == *rendition && job.msn < start;
        let given_up: Vec<_> = self.segments.iter().filter(|job| gone(job)).cloned().collect();
        if !given_up.is_empty() {
            self.segments.retain(|job| !gone(job));
            self.bytes = self.segments.iter().map(SegmentJob::size).sum();
        }
        given_up
    }

    /// The next initialization segment: they come before all segments, so that none is ever without its own.
    pub(crate) fn pop_init(&mut self) -> Option<InitJob> {
        self.inits.pop_front()
    }

    /// The next segment, once no initialization segment waits.
    pub(crate) fn pop_segment(&mut self) -> Option<SegmentJob> {
        let job = self.segments.pop_front()?;
        self.bytes = self.bytes.saturating_sub(job.size());
        Some(job)
    }

    /// Puts back what could not be stored, to be tried again first.
    pub(crate) fn return_init(&mut self, job: InitJob) {
        self.inits.push_front(job);
    }

    /// The same for a segment.
    pub(crate) fn return_segment(&mut self, job: SegmentJob) {
        self.bytes = self.bytes.saturating_add(job.size());
        self.segments.push_front(job);
    }
}

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
        assert_eq!(queue.pop_segment(), Some(segment("audio", 7)));
    }

    #[test]
    fn what_could_not_be_stored_comes_first_again() {
        let mut queue = StoreQueue::new(10_000);
        queue.push_segment(segment("source", 7));
        queue.push_segment(segment("source", 8));
        let job = queue.pop_segment().unwrap();
        queue.return_segment(job);
        assert_eq!(queue.bytes(), 200);
        assert_eq!(queue.pop_segment(), Some(segment("source", 7)));
    }
}
