//! Going on behind what an earlier epoch announced.

use caudal_livestream::{Epoch, Msn};

use super::{CutPlan, PlannedSegment};
use crate::grid::Grid;

/// Where an earlier epoch's announced media ends. Segments up to there are made again, under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlanFloor {
    /// The last segment that it announced a part of.
    pub(crate) msn: Msn,
    /// Where those parts end.
    pub(crate) end: i64,
    /// The epoch that announced them.
    pub(crate) epoch: Epoch,
}

impl CutPlan {
    /// One that goes on behind `announced` segments of an earlier epoch, and closes what is open at `floor`.
    pub(crate) fn behind(
        grid: Grid,
        announced: Vec<PlannedSegment>,
        next_msn: Msn,
        discontinuity: u64,
        floor: PlanFloor,
    ) -> Self {
        Self {
            shift: announced.last().map_or(0, |last| last.shift),
            run_start: announced.first().map_or(0, |first| first.start),
            segments: announced.into(),
            floor: Some(floor),
            ..Self::new(grid, next_msn, discontinuity)
        }
    }

    /// Whether the media of an earlier epoch's announcements is still on the way.
    pub(crate) fn is_behind_floor(&self) -> bool {
        self.floor.is_some()
    }

    /// Where everything that an earlier epoch announced ends, while its media is still on the way.
    pub(crate) fn announced_end(&self) -> Option<i64> {
        self.floor.map(|floor| floor.end)
    }

    /// Whether media that ends there is all that an earlier epoch announced.
    pub(crate) fn is_rebuilt_to(&self, end: i64) -> bool {
        self.floor.is_none_or(|floor| end + self.floor_slack() >= floor.end)
    }

    /// Nothing more of what an earlier epoch announced will come. Its numbers are used up, and its time too.
    pub(super) fn leave_floor(&mut self) {
        let Some(floor) = self.floor else { return };
        let end = self.predicted_end();
        if self.is_rebuilt_to(end) {
            return self.reach_floor(floor, end);
        }
        if let Some(open) = self.segments.back_mut().filter(|open| open.end.is_none()) {
            open.gap = true;
        }
        self.reach_floor(floor, floor.end);
    }

    /// Whether a rendition that has come as far as `cursor` has still to rebuild something.
    pub(crate) fn is_rebuilding(&self, cursor: Msn) -> bool {
        self.floor.is_some_and(|floor| self.next_msn <= floor.msn)
            || self.segment(cursor).is_some_and(|segment| segment.rebuilt.is_some())
    }

    /// Whether a frame lies in a segment that an earlier epoch closed: it decides nothing any more.
    pub(crate) fn is_decided(&self, decode: i64) -> bool {
        self.floor.is_some()
            && self
                .segments
                .back()
                .and_then(|last| last.end)
                .is_some_and(|end| decode + self.grid.frame / 2 < end)
    }

    /// Whether a frame lies in a segment that nobody can make again.
    pub(crate) fn is_lost(&self, decode: i64) -> bool {
        let begun = decode + self.grid.frame / 2;
        let reached = self.segments.iter().rev().find(|segment| segment.start <= begun);
        reached.is_some_and(|segment| segment.lost && segment.end.is_some_and(|end| begun < end))
    }

    /// The floor is where the last part of any rendition ended: an audio frame's half later than the video's.
    pub(super) fn floor_slack(&self) -> i64 {
        (self.grid.frame / 2).max(HALF_AUDIO_FRAME).min(self.grid.frame * 3 / 4)
    }

    /// `decode` is the first frame that nobody has announced.
    pub(super) fn reach_floor(&mut self, floor: PlanFloor, decode: i64) {
        let end = if (decode - floor.end).abs() <= self.grid.frame { decode } else { floor.end };
        let edge = self.edge().unwrap_or(end);
        if let Some(open) = self.segments.back().filter(|open| open.end.is_none()) {
            let (msn, start) = (open.msn, open.start);
            if !open.gap {
                self.close_segment(end);
            } else if msn <= floor.msn {
                self.close_gap(end.max(edge).max(start + SHORTEST_GAP));
            }
            // Otherwise sound came first, and this picture belongs in the segment that it opened.
        } else if self.next_msn <= floor.msn && end > edge && !self.segments.is_empty() {
            self.insert_gaps(edge, end);
        }
        // Numbers that viewers have seen are never given again: where the earlier epoch cut more often, they are gaps.
        while self.next_msn <= floor.msn {
            let edge = self.edge().unwrap_or(end);
            self.insert_gaps(edge, edge + SHORTEST_GAP);
        }
        self.floor = None;
    }
}

/// 1024 samples of 44.1 kHz, and a millisecond's rounding.
const HALF_AUDIO_FRAME: i64 = 12_000;
/// A playlist's durations are whole milliseconds at least.
const SHORTEST_GAP: i64 = 1_000;

#[cfg(test)]
mod tests {
    use caudal_livestream::admission::LatencyMode;

    use super::super::FrameTiming;
    use super::*;

    #[test]
    fn the_first_picture_behind_the_floor_fills_the_gap_that_sound_has_opened() {
        let end = 16_000_000;
        let last = PlannedSegment {
            msn: Msn(9),
            start: 14_000_000,
            end: Some(end),
            discontinuity: 0,
            gap: false,
            still: false,
            sends_again: false,
            parts: vec![end],
            shift: 0,
            rebuilt: Some(Epoch(1)),
            lost: false,
            open_part_has_frames: false,
        };
        let floor = PlanFloor { msn: Msn(9), end, epoch: Epoch(1) };
        let grid = Grid::video(40_000, 40_000, LatencyMode::Low, None);
        let mut plan = CutPlan::behind(grid, vec![last], Msn(10), 0, floor);
        plan.silence(end, end + grid.part_target + grid.step);
        plan.advance(FrameTiming { decode: end, presentation: end, keyframe: true, idr: true });
        let first = plan.segment(Msn(10)).expect("opened");
        assert!(!first.gap && first.end.is_none(), "{first:?}");
        assert_eq!(plan.next_msn(), Msn(11));
    }
}
