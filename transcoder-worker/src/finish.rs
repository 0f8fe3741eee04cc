//! Mode `finish`: write ENDLIST after what is stored, and nothing else.

use caudal_livestream::Epoch;
use caudal_livestream::timeline::{SegmentPhase, Timeline};

/// The stream's last timeline as it is once nothing more can come: what is not in storage is gone.
pub(crate) fn ended(mut timeline: Timeline, epoch: Epoch) -> Timeline {
    timeline.epoch = epoch;
    for track in &mut timeline.tracks {
        while track.segments.back().is_some_and(|last| last.phase != SegmentPhase::Stored && !last.gap) {
            track.segments.pop_back();
        }
        // A hole stays where it is, or the numbers behind it would move.
        for segment in track.segments.iter_mut().filter(|s| s.phase != SegmentPhase::Stored && !s.gap) {
            segment.gap = true;
            segment.phase = SegmentPhase::Finished;
            segment.parts.clear();
            segment.size = 0;
        }
    }
    timeline.ended = true;
    timeline
}

#[cfg(test)]
mod tests {
    use caudal_livestream::StreamId;

    use super::*;
    use crate::fixtures::{segment, timeline};

    #[test]
    fn an_ended_timeline_ends_with_what_is_stored_and_keeps_its_numbers() {
        let segments = vec![
            segment(7, SegmentPhase::Stored),
            segment(8, SegmentPhase::Finished),
            segment(9, SegmentPhase::Stored),
            segment(10, SegmentPhase::Finished),
            segment(11, SegmentPhase::Open),
        ];
        let timeline = timeline(StreamId::generate(), segments);
        let ended = ended(timeline, Epoch(2));
        assert!(ended.ended);
        let left: Vec<_> = ended.tracks[0].segments.iter().map(|s| (s.msn.0, s.gap)).collect();
        assert_eq!(left, [(7, false), (8, true), (9, false)]);
        assert_eq!(ended.tracks[0].segments[0].epoch, Epoch(1), "names do not change");
    }
}
