//! RFC 8216bis §6.2.5.2 as a table.

use caudal_livestream::timeline::{Segment, SegmentPhase};
use caudal_livestream::{MediaDuration, Msn, StreamId};

use super::broadcast::Broadcast;
use crate::reload::{Reload, decide};
use crate::request::Position;

fn at(msn: u64, part: Option<u64>) -> Position {
    Position { msn: Msn(msn), part }
}

#[test]
fn a_request_is_answered_when_what_it_asks_for_is_there() {
    // Segments 7 and 8 are whole, with five parts each; 9 is open with two.
    let broadcast = Broadcast::new(StreamId::generate(), 1, &["source"]).with(2, 2);
    let timeline = &broadcast.timeline;
    let track = &timeline.tracks[0];
    for (until, reload, why) in [
        (at(0, None), Reload::Now, "a gap before the first media"),
        (at(7, None), Reload::Now, "a whole segment"),
        (at(8, Some(4)), Reload::Now, "the last part of a whole segment"),
        (at(8, Some(5)), Reload::Now, "past it is the first part of the next, which is there"),
        (at(8, Some(1000)), Reload::Now, "however far past it"),
        (at(9, Some(0)), Reload::Now, "a part of the open segment"),
        (at(9, Some(1)), Reload::Now, "its newest part"),
        (at(9, Some(2)), Reload::Wait, "its next part"),
        (at(9, None), Reload::Wait, "the whole of it"),
        (at(10, Some(0)), Reload::Wait, "the first part of the segment after it"),
        (at(10, None), Reload::Wait, "two segments ahead of the last whole one"),
        (at(11, None), Reload::TooFar, "three segments ahead of it"),
        (at(u64::MAX, Some(u64::MAX)), Reload::TooFar, "nonsense"),
        (at(9, Some(2 + 14)), Reload::Wait, "three seconds of parts ahead"),
        (at(9, Some(2 + 15)), Reload::TooFar, "more than three seconds of parts ahead"),
    ] {
        assert_eq!(decide(timeline, track, until), reload, "{until:?}: {why}");
    }
}

#[test]
fn past_the_end_of_the_last_whole_segment_is_the_first_part_of_one_that_has_not_begun() {
    let broadcast = Broadcast::new(StreamId::generate(), 1, &["source"]).with(2, 0);
    let track = &broadcast.timeline.tracks[0];
    assert_eq!(decide(&broadcast.timeline, track, at(8, Some(5))), Reload::Wait);
    assert_eq!(decide(&broadcast.timeline, track, at(9, Some(0))), Reload::Wait);
}

#[test]
fn before_the_first_whole_segment_the_gaps_are_the_end() {
    let broadcast = Broadcast::new(StreamId::generate(), 1, &["source"]).with(0, 1);
    let track = &broadcast.timeline.tracks[0];
    for (until, reload) in [
        (at(6, None), Reload::Now),
        (at(7, Some(0)), Reload::Now),
        (at(7, Some(1)), Reload::Wait),
        (at(8, None), Reload::Wait),
        (at(9, None), Reload::TooFar),
    ] {
        assert_eq!(decide(&broadcast.timeline, track, until), reload, "{until:?}");
    }
}

#[test]
fn a_long_gap_answers_what_was_asked_of_it_and_a_short_one_waits_for_what_follows() {
    let with_gap = |seconds| {
        let mut broadcast = Broadcast::new(StreamId::generate(), 1, &["source"]).with(2, 0);
        let segments = &mut broadcast.timeline.tracks[0].segments;
        let last = segments.back().unwrap().clone();
        segments.push_back(Segment {
            msn: last.msn.next(),
            duration: MediaDuration::from_secs(seconds),
            phase: SegmentPhase::Finished,
            gap: true,
            parts: Vec::new(),
            ..last
        });
        broadcast
    };
    for (seconds, reload) in [(1, Reload::Wait), (3, Reload::Wait), (4, Reload::Now)] {
        let broadcast = with_gap(seconds);
        let track = &broadcast.timeline.tracks[0];
        for until in [at(9, Some(0)), at(9, Some(3)), at(8, Some(5))] {
            assert_eq!(decide(&broadcast.timeline, track, until), reload, "{seconds} s, {until:?}");
        }
    }
    let broadcast = with_gap(1).with(0, 1);
    let track = &broadcast.timeline.tracks[0];
    assert_eq!(decide(&broadcast.timeline, track, at(9, Some(0))), Reload::Now, "a part follows it");
}

#[test]
fn after_the_end_nobody_waits() {
    let mut broadcast = Broadcast::new(StreamId::generate(), 1, &["source"]).with(2, 0);
    broadcast.timeline.ended = true;
    let track = &broadcast.timeline.tracks[0];
    assert_eq!(decide(&broadcast.timeline, track, at(100, Some(3))), Reload::Now);
}
