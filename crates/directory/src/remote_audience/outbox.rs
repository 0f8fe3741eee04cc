//! What an edge has to tell of its viewers. No clock, no network.

use std::collections::{HashMap, HashSet};

use caudal_livestream::audience::{AudienceReport, MAX_COUNTS, ViewerCount};
use caudal_livestream::{EdgeId, StreamId};

/// The counts as they stand, and which of them the api may have.
#[derive(Debug)]
pub(super) struct Outbox {
    edge: EdgeId,
    /// Of the last report.
    sequence: u64,
    counts: HashMap<StreamId, u32>,
    /// Streams with viewers in the last round: their ends are to be told too.
    told: HashSet<StreamId>,
}

impl Outbox {
    pub(super) fn new(edge: EdgeId) -> Self {
        Self { edge, sequence: 0, counts: HashMap::new(), told: HashSet::new() }
    }

    pub(super) fn record(&mut self, stream: StreamId, viewers: u32) {
        if viewers == 0 {
            self.counts.remove(&stream);
        } else {
            self.counts.insert(stream, viewers);
        }
    }

    pub(super) fn viewers(&self, stream: StreamId) -> u32 {
        self.counts.get(&stream).copied().unwrap_or(0)
    }

    /// All counts, and zero, once, for each stream that has lost its last viewer since the round before. Should that get
    /// lost, the api forgets the stream because nobody repeats it.
    pub(super) fn round(&mut self) -> Vec<AudienceReport> {
        let told = self.counts.keys().copied().collect();
        let before = std::mem::replace(&mut self.told, told);
        let gone = before.into_iter().filter(|stream| !self.counts.contains_key(stream));
        let counts: Vec<_> = gone
            .map(|stream| ViewerCount { stream, viewers: 0 })
            .chain(
                self.counts
                    .iter()
                    .map(|(stream, viewers)| ViewerCount { stream: *stream, viewers: *viewers }),
            )
            .collect();
        counts.chunks(MAX_COUNTS).map(|counts| self.report(false, counts.to_vec())).collect()
    }

    /// For an api that has not heard of this edge yet, and is to be found while nobody watches.
    pub(super) fn introduction(&mut self) -> AudienceReport {
        self.report(false, Vec::new())
    }

    /// The last word of this edge; none when nothing was ever said to the api.
    pub(super) fn farewell(&mut self) -> Option<AudienceReport> {
        (self.sequence > 0).then(|| self.report(true, Vec::new()))
    }

    fn report(&mut self, last: bool, counts: Vec<ViewerCount>) -> AudienceReport {
        self.sequence = self.sequence.saturating_add(1);
        AudienceReport { edge: self.edge, sequence: self.sequence, last, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reports: &[AudienceReport]) -> Vec<(StreamId, u32)> {
        reports.iter().flat_map(|report| &report.counts).map(|count| (count.stream, count.viewers)).collect()
    }

    #[test]
    fn a_count_is_repeated_each_round_and_its_end_told_once() {
        let mut outbox = Outbox::new(EdgeId::generate());
        let stream = StreamId::generate();
        assert_eq!(outbox.round(), [], "nobody watches, and the api knows of nobody");
        outbox.record(stream, 3);
        assert_eq!(told(&outbox.round()), [(stream, 3)]);
        assert_eq!(told(&outbox.round()), [(stream, 3)]);
        outbox.record(stream, 4);
        assert_eq!(outbox.viewers(stream), 4);
        assert_eq!(told(&outbox.round()), [(stream, 4)]);
        outbox.record(stream, 0);
        assert_eq!(told(&outbox.round()), [(stream, 0)]);
        assert_eq!(outbox.round(), []);
    }

    #[test]
    fn more_streams_than_fit_into_a_message_take_several() {
        let mut outbox = Outbox::new(EdgeId::generate());
        let streams: HashSet<_> = (0..=MAX_COUNTS * 2).map(|_| StreamId::generate()).collect();
        for stream in &streams {
            outbox.record(*stream, 1);
        }
        let reports = outbox.round();
        let lengths: Vec<_> = reports.iter().map(|report| report.counts.len()).collect();
        assert_eq!(lengths, [MAX_COUNTS, MAX_COUNTS, 1]);
        assert_eq!(told(&reports).into_iter().map(|(stream, _)| stream).collect::<HashSet<_>>(), streams);
    }

    #[test]
    fn the_last_report_has_the_highest_number_and_no_viewers() {
        let mut outbox = Outbox::new(EdgeId::generate());
        assert_eq!(outbox.farewell(), None, "of an edge that nobody has heard of");
        outbox.record(StreamId::generate(), 3);
        let before: Vec<_> = (0..3).flat_map(|_| outbox.round()).map(|report| report.sequence).collect();
        assert_eq!(before, [1, 2, 3]);
        let last = outbox.farewell().unwrap();
        assert_eq!((last.sequence, last.last, last.counts), (4, true, Vec::new()));
    }
}
