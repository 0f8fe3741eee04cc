//! Where the leading track's last picture is shown for longer than a part may last.

use super::CutPlan;

impl CutPlan {
    /// Nothing followed the last picture in time: it gets a segment of its own, which grows until something does. False
    /// where its part was closed already, and its length with it: a gap is all that can follow.
    pub(super) fn hold_last(&mut self) -> bool {
        self.irregular = AFTER_PAUSE;
        let (Some(last), Some(open)) = (self.last, self.segments.back()) else { return false };
        let part_start = open.part_start();
        let holds = !self.grid.audio_leads
            && self.floor.is_none()
            && open.rebuilt.is_none()
            && open.end.is_none()
            && open.open_part_has_frames
            && last.decode >= part_start;
        if !holds {
            return false;
        }
        if !open.parts.is_empty() {
            // What lies before the picture has been announced in parts.
            let at = if last.opens_part { part_start } else { last.decode };
            if let Some(open) = self.segments.back_mut().filter(|_| last.opens_part) {
                open.open_part_has_frames = false;
            }
            self.close_segment(at.min(part_start + self.grid.part_target));
            let end = self.edge().unwrap_or(at);
            self.open(end);
        }
        if let Some(open) = self.segments.back_mut() {
            open.still = true;
            open.open_part_has_frames = false;
        }
        true
    }

    /// Whether the picture that is held can be sent again. Only an IDR picture can: others, though a decoder can begin with
    /// them, change what it keeps for the pictures that follow.
    pub(super) fn repeats(&self) -> bool {
        self.last.is_some_and(|last| last.idr) && self.segments.back().is_some_and(|open| open.still)
    }

    /// How long the pause that is open may grow in one segment.
    pub(super) fn longest_pause(&self) -> i64 {
        let still = self.segments.back().is_some_and(|open| open.still);
        if still && !self.repeats() { self.grid.longest_segment() } else { self.grid.aim }
    }

    /// Whether pictures have paused lately. The newest one is then kept until the next has come.
    pub(super) fn has_paused(&self) -> bool {
        self.irregular > super::REGULAR_AFTER
    }
}

/// Half a minute of pictures without a pause: screen sharing that scrolls now and then pauses much more often.
const AFTER_PAUSE: u32 = 900;
