//! Which timelines some worker may have written: whoever takes one up goes on counting from its numbers.

use thiserror::Error;

use super::captions::MAX_CHANNELS;
use super::{Segment, SegmentPhase, Timeline, Track};
use crate::{MediaDuration, RenditionName};

/// A timeline that no worker can have written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Implausible {
    /// A number or length beyond anything that a broadcast reaches.
    #[error("{0} is out of bounds")]
    OutOfBounds(&'static str),
    /// Segments that do not follow one another.
    #[error("the segments of {0} do not follow one another")]
    Order(RenditionName),
    /// Two renditions of one name.
    #[error("there are two renditions {0}")]
    Twice(RenditionName),
}

impl Timeline {
    /// Whether this can be taken up: numbers leave room to count on from, and segments follow one another.
    ///
    /// # Errors
    /// [`Implausible`] says what cannot be.
    pub fn check(&self) -> Result<(), Implausible> {
        within("the number of renditions", self.tracks.len() <= MAX_TRACKS)?;
        within("the target duration", (1..=MAX_TARGET_SECS).contains(&self.target_duration))?;
        within("the hold-back", self.part_hold_back <= LONGEST)?;
        within("the number of caption channels", self.captions.len() <= MAX_CHANNELS)?;
        within("the order of caption channels", self.captions.is_sorted_by(|a, b| a < b))?;
        within("the first number", self.first_msn.0 <= HIGHEST_NUMBER)?;
        for (index, track) in self.tracks.iter().enumerate() {
            if self.tracks.iter().take(index).any(|other| other.name == track.name) {
                return Err(Implausible::Twice(track.name.clone()));
            }
            self.check_track(track)?;
        }
        Ok(())
    }

    fn check_track(&self, track: &Track) -> Result<(), Implausible> {
        within("the length of a part", track.part_target <= LONGEST)?;
        within("the live window", track.segments.len() <= MAX_SEGMENTS)?;
        let mut before: Option<&Segment> = None;
        for segment in &track.segments {
            check_segment(segment)?;
            within("a segment's epoch", segment.epoch <= self.epoch)?;
            if let Some(before) = before
                && (before.msn.next() != segment.msn
                    || before.phase == SegmentPhase::Open
                    || before.discontinuity > segment.discontinuity)
            {
                return Err(Implausible::Order(track.name.clone()));
            }
            before = Some(segment);
        }
        Ok(())
    }
}

fn check_segment(segment: &Segment) -> Result<(), Implausible> {
    within("a media sequence number", segment.msn.0 <= HIGHEST_NUMBER)?;
    within("a discontinuity sequence number", segment.discontinuity <= HIGHEST_NUMBER)?;
    within("a media time", segment.start.0.unsigned_abs() <= FURTHEST)?;
    within("a date", segment.program_date_time.0.unsigned_abs() <= FURTHEST)?;
    within("a segment's length", segment.duration <= LONGEST)?;
    within("a segment's size", segment.size <= HIGHEST_NUMBER)?;
    within("the number of parts", segment.parts.len() <= MAX_SEGMENTS)?;
    within("a part", segment.parts.iter().all(|p| p.number.0 <= HIGHEST_NUMBER && p.duration <= LONGEST))
}

fn within(what: &'static str, holds: bool) -> Result<(), Implausible> {
    if holds { Ok(()) } else { Err(Implausible::OutOfBounds(what)) }
}

/// A million years of parts; still leaves room to count on in every type that carries such a number.
pub const HIGHEST_NUMBER: u64 = 1 << 48;
/// In microseconds or milliseconds: 142 years of the former, which sums of a few never overflow.
const FURTHEST: u64 = 1 << 52;
/// No segment, part or hold-back is longer than a day.
const LONGEST: MediaDuration = MediaDuration::from_secs(86_400);
const MAX_TARGET_SECS: u32 = 3_600;
/// Eight renditions and their sound, twice over.
pub(super) const MAX_TRACKS: usize = 18;
/// Several times the longest live window. So many parts in one segment, and while a timeline grows in one window, too.
pub(super) const MAX_SEGMENTS: usize = 8_192;
