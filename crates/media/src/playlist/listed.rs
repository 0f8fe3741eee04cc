//! How far a live playlist reaches: players that follow parts lose their place behind a segment without any.

use caudal_livestream::timeline::{Segment, Timeline, Track};

/// The segments that a live playlist lists, oldest first: all but those without parts at its end, while they are
/// short. A player that has taken the last part asks for the one behind it; behind a segment that has none, hls.js
/// asks for what it had long before, and goes through the whole window again. What lists them is the next part.
pub fn listed<'a>(
    timeline: &Timeline,
    track: &'a Track,
) -> impl DoubleEndedIterator<Item = &'a Segment> + Clone {
    let without_parts = || track.segments.iter().rev().take_while(|segment| segment.parts.is_empty());
    let length: u64 = without_parts().map(|segment| segment.duration.0).sum();
    let with_parts = track.segments.len().saturating_sub(without_parts().count());
    let all = timeline.ended || length > LONGEST || with_parts == 0;
    track.segments.iter().take(if all { track.segments.len() } else { with_parts })
}

/// A longer hole is no drop: the sound goes on alone, and who waits for pictures is told so.
const LONGEST: u64 = 3_000_000;
