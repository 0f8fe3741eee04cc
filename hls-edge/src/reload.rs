//! When a playlist request with delivery directives is answered (RFC 8216bis §6.2.5.2).

use caudal_livestream::Msn;
use caudal_livestream::timeline::{SegmentPhase, Timeline, Track};
use caudal_media::playlist::listed;

use crate::request::Position;

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// What it asks for is there.
    Now,
    /// It will come.
    Wait,
    /// So far ahead that the player must be wrong: 400.
    TooFar,
}

/// Judges a request for `until` by the playlist as it stands.
pub(crate) fn decide(timeline: &Timeline, track: &Track, until: Position) -> Reload {
    if timeline.ended {
        return Reload::Now;
    }
    let Position { msn, part } = until;
    // Before the first whole segment the last one is the lead-in's, or the gap in front of it.
    let last_whole = listed(timeline, track)
        .rev()
        .find(|segment| segment.phase != SegmentPhase::Open)
        .map_or(timeline.first_msn.0.saturating_sub(1), |segment| segment.msn.0);
    if msn.0 > last_whole.saturating_add(2) {
        return Reload::TooFar;
    }
    if msn.0 <= last_whole {
        return match part {
            Some(part) if beyond(track, msn, part) => decide_part(timeline, track, msn.next(), 0, last_whole),
            _ => Reload::Now,
        };
    }
    match part {
        None => Reload::Wait,
        Some(part) => decide_part(timeline, track, msn, part, last_whole),
    }
}

/// A part past the end of a whole segment means the first one of the next segment. A segment without parts, such as a
/// gap, answers everything that was asked of it.
fn beyond(track: &Track, msn: Msn, part: u64) -> bool {
    let segment = track.segments.iter().rev().find(|segment| segment.msn == msn);
    segment.is_some_and(|segment| !segment.parts.is_empty() && part >= count(segment.parts.len()))
}

fn decide_part(timeline: &Timeline, track: &Track, msn: Msn, part: u64, last_whole: u64) -> Reload {
    if msn.0 <= last_whole {
        return Reload::Now;
    }
    let open = listed(timeline, track).next_back().filter(|segment| segment.phase == SegmentPhase::Open);
    let there = open.filter(|segment| segment.msn == msn).map_or(0, |segment| count(segment.parts.len()));
    if part < there {
        return Reload::Now;
    }
    let ahead = part.saturating_sub(there).saturating_add(1);
    if ahead > advance_part_limit(track) { Reload::TooFar } else { Reload::Wait }
}

/// Parts that a player may ask for ahead: three seconds of them, or three.
fn advance_part_limit(track: &Track) -> u64 {
    let target = track.part_target.0.max(1);
    if target < 1_000_000 { 3_000_000_u64.div_ceil(target) } else { 3 }
}

fn count(parts: usize) -> u64 {
    u64::try_from(parts).unwrap_or(u64::MAX)
}
