//! Where the leading track has nothing: `EXT-X-GAP` segments, or still ones, whole and one that grows with another track.

use super::CutPlan;

impl CutPlan {
    /// The leading track is silent while another has media up to `watermark`: virtual parts for that other one.
    pub(crate) fn silence(&mut self, from: i64, watermark: i64) {
        // A replay's pictures are still to come, however far ahead its sound is.
        if self.announced_end().is_some_and(|end| watermark <= end) {
            return;
        }
        if !self.is_open() {
            let Some(start) = self.edge() else { return };
            self.open_gap(if self.broken { from.max(start) } else { start });
        } else if self.segments.back().is_some_and(|open| !open.is_pause()) && !self.hold_last() {
            self.close_open_segment();
            let Some(end) = self.edge() else { return };
            self.open_gap(end);
        }
        // Pictures may still come for these parts.
        let step = self.grid.step.max(self.grid.shortest_part());
        loop {
            let longest = self.longest_pause();
            let Some(gap) = self.segments.back_mut() else { return };
            if gap.part_start() > gap.start && gap.part_start() - gap.start + step > longest {
                // Never leave a remainder shorter than a part.
                if watermark < gap.part_start() + self.grid.part_target {
                    return;
                }
                let end = gap.part_start();
                let again = self.repeats();
                self.close_gap(end);
                self.open_pause(end, again);
                continue;
            }
            if watermark < gap.part_start() + step {
                return;
            }
            let end = gap.part_start() + step;
            gap.parts.push(end);
        }
    }

    /// Ends the gap that is open, in parts that another track can follow and segments that fit the target duration.
    pub(super) fn close_gap(&mut self, end: i64) {
        let (step, longest) = (self.grid.step.max(self.grid.shortest_part()), self.grid.longest_segment());
        let (first, again) = (self.longest_pause(), self.repeats());
        let Some(gap) = self.segments.back_mut() else { return };
        if end - gap.start > longest {
            let middle = gap.part_start().max(gap.start + first);
            self.close_gap(middle);
            return self.insert_pauses(middle, end, again);
        }
        while gap.part_start() + step < end {
            gap.parts.push(gap.part_start() + step);
        }
        if end > gap.part_start() {
            gap.parts.push(end);
        }
        gap.end = Some(end.max(gap.part_start()));
    }

    pub(super) fn insert_gaps(&mut self, from: i64, to: i64) {
        self.insert_pauses(from, to, false);
    }

    fn insert_pauses(&mut self, from: i64, to: i64, still: bool) {
        let pieces = ((to - from + self.grid.aim - 1) / self.grid.aim).max(1);
        for piece in 0..pieces {
            self.open_pause(from + (to - from) * piece / pieces, still);
            self.close_gap(from + (to - from) * (piece + 1) / pieces);
        }
    }

    fn open_gap(&mut self, start: i64) {
        self.open_pause(start, false);
    }

    /// `still` repeats the keyframe that is held.
    fn open_pause(&mut self, start: i64, still: bool) {
        self.open(start);
        if let Some(pause) = self.segments.back_mut() {
            (pause.gap, pause.still, pause.sends_again) = (!still, still, still);
        }
    }
}
