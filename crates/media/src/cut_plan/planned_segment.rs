//! One segment of the plan.

use caudal_livestream::timeline::Segment;
use caudal_livestream::{Epoch, MediaDuration, Msn};

/// A segment as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedSegment {
    pub(crate) msn: Msn,
    pub(crate) start: i64,
    /// `None` while it grows.
    pub(crate) end: Option<i64>,
    pub(crate) discontinuity: u64,
    /// It holds no pictures. Not final while `end` is unknown.
    pub(crate) gap: bool,
    /// Its last picture is shown until its end: video announces it whole then, without parts.
    pub(crate) still: bool,
    /// It begins with the picture that the still segment before it shows, sent again.
    pub(crate) sends_again: bool,
    /// Ends of its parts, in order; the part after the last one is open.
    pub(crate) parts: Vec<i64>,
    /// Presentation less decode time, for those who compare presentation times.
    pub(crate) shift: i64,
    /// Whose name it bears, when it was announced before: it is made whole, and without parts.
    pub(crate) rebuilt: Option<Epoch>,
    /// An earlier epoch announced it, and nobody can make it again: a gap on every track, also on those that have media there.
    pub(crate) lost: bool,
    /// Whether frames lie in the open part.
    pub(super) open_part_has_frames: bool,
}

impl PlannedSegment {
    /// One that was announced and closed by an earlier epoch.
    pub(crate) fn announced(segment: &Segment, shift: i64) -> Self {
        let micros = |duration: MediaDuration| i64::try_from(duration.0).unwrap_or(i64::MAX);
        let start = segment.start.0 - shift;
        let end = start.saturating_add(micros(segment.duration));
        let mut part_end = start;
        let mut parts: Vec<i64> = segment
            .parts
            .iter()
            .map(|part| {
                part_end = part_end.saturating_add(micros(part.duration)).min(end);
                part_end
            })
            .collect();
        if part_end < end {
            parts.push(end);
        }
        Self {
            msn: segment.msn,
            start,
            end: Some(end),
            discontinuity: segment.discontinuity,
            gap: segment.gap,
            still: false,
            sends_again: false,
            parts,
            shift,
            rebuilt: Some(segment.epoch),
            lost: false,
            open_part_has_frames: false,
        }
    }

    /// One that an earlier epoch announced and that nobody can make again.
    pub(crate) fn lost(
        msn: Msn,
        (start, end): (i64, i64),
        discontinuity: u64,
        shift: i64,
        epoch: Epoch,
    ) -> Self {
        Self {
            msn,
            start,
            end: Some(end),
            discontinuity,
            gap: true,
            still: false,
            sends_again: false,
            parts: vec![end],
            shift,
            rebuilt: Some(epoch),
            lost: true,
            open_part_has_frames: false,
        }
    }

    /// Waits for the leading track's next picture.
    pub(super) fn is_pause(&self) -> bool {
        self.end.is_none() && (self.gap || self.still)
    }

    pub(super) fn part_start(&self) -> i64 {
        self.parts.last().copied().unwrap_or(self.start)
    }
}
