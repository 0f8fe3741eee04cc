//! Where segments and parts of one stream begin, decided by its leading track alone.
//!
//! Every rendition asks the same plan, so that segment N starts at the same instant in all of them (RFC 8216bis
//! §6.2.4) and a player can switch at any boundary. Instants of the plan are decode times of the leading track; a
//! follower compares them with presentation times less [`CutPlan::shift`].

mod floor;
mod gap;
mod long_gop;
mod planned_segment;
mod still;

use std::collections::VecDeque;

use caudal_livestream::Msn;

pub(crate) use floor::PlanFloor;
pub(crate) use planned_segment::PlannedSegment;

use crate::grid::Grid;

/// The plan: a window of segments, the last of which grows. Times are microseconds of the stream's timeline.
#[derive(Debug)]
pub(crate) struct CutPlan {
    grid: Grid,
    segments: VecDeque<PlannedSegment>,
    next_msn: Msn,
    discontinuity: u64,
    /// Presentation minus decode time of the run's first keyframe.
    shift: i64,
    /// True between a break and the frame that opens the next run.
    broken: bool,
    run_start: i64,
    /// Up to here parts were closed while the leading track was silent.
    led_by_others_to: i64,
    last: Option<LastFrame>,
    last_key: Option<i64>,
    /// From the last keyframe but one to the last.
    gop: Option<i64>,
    longest_gop: i64,
    irregular: u32,
    /// Until it is reached: what an earlier epoch has announced already.
    floor: Option<PlanFloor>,
}

/// One frame of the leading track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameTiming {
    pub(crate) decode: i64,
    pub(crate) presentation: i64,
    pub(crate) keyframe: bool,
    /// It may be sent again while nothing follows it.
    pub(crate) idr: bool,
}

/// What a frame did to the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advanced {
    /// It opened this segment without being a keyframe because the GOP outgrew the target duration.
    pub(crate) outgrown: Option<Msn>,
    /// Pictures are missing from the first to the second instant.
    pub(crate) hole: Option<(i64, i64)>,
    /// It lies before what the plan has closed already: it came late.
    pub(crate) behind: bool,
}

#[derive(Clone, Copy, Debug)]
struct LastFrame {
    decode: i64,
    /// The latest presentation time of its run so far.
    shown: i64,
    idr: bool,
    /// It is alone in the open part, so far.
    opens_part: bool,
}

impl CutPlan {
    pub(crate) fn new(grid: Grid, next_msn: Msn, discontinuity: u64) -> Self {
        Self {
            longest_gop: grid.expected_gop,
            grid,
            segments: VecDeque::new(),
            next_msn,
            discontinuity,
            shift: 0,
            broken: false,
            run_start: 0,
            led_by_others_to: i64::MIN,
            last: None,
            last_key: None,
            gop: None,
            irregular: 0,
            floor: None,
        }
    }

    pub(crate) fn segment(&self, msn: Msn) -> Option<&PlannedSegment> {
        let first = self.segments.front()?.msn.0;
        self.segments.get(usize::try_from(msn.0.checked_sub(first)?).ok()?)
    }

    pub(crate) fn first_msn(&self) -> Option<Msn> {
        self.segments.front().map(|segment| segment.msn)
    }

    /// The number of the segment that is opened next.
    pub(crate) fn next_msn(&self) -> Msn {
        self.next_msn
    }

    pub(crate) fn shift(&self) -> i64 {
        self.shift
    }

    /// The source's reordering delay where a picture is shown that a rung's encoder made of one of its own. Gaps have
    /// no pictures: theirs says nothing.
    pub(crate) fn shift_at(&self, presentation: i64) -> i64 {
        let begun = presentation + self.frame() / 2;
        let mut of_pictures = self.segments.iter().rev().filter(|segment| !segment.gap);
        let last = of_pictures.find(|segment| segment.start + segment.shift <= begun);
        last.map_or(self.shift, |segment| segment.shift)
    }

    pub(crate) fn frame(&self) -> i64 {
        self.grid.frame
    }

    pub(crate) fn part_target(&self) -> i64 {
        self.grid.part_target
    }

    pub(crate) fn target_seconds(&self) -> u32 {
        u32::try_from(self.grid.target_duration / 1_000_000).unwrap_or(u32::MAX)
    }

    /// The last segment that will not grow.
    pub(crate) fn newest_closed(&self) -> Option<Msn> {
        self.segments.iter().rev().find(|segment| segment.end.is_some()).map(|segment| segment.msn)
    }

    /// Up to where parts are closed, or the open segment's start.
    pub(crate) fn edge(&self) -> Option<i64> {
        self.segments.back().map(|last| last.end.unwrap_or_else(|| last.part_start()))
    }

    /// Where the last run's pictures end, as presentation time.
    pub(crate) fn presentation_end(&self) -> i64 {
        self.segments.back().map_or(0, |last| last.end.unwrap_or(last.start) + last.shift)
    }

    /// When the picture is shown that is shown last of all so far in the run; none while pictures are still on their way to
    /// parts that another track has led to.
    pub(crate) fn last_shown(&self) -> Option<i64> {
        let caught_up = |last: &LastFrame| last.decode + self.grid.frame * 3 / 2 >= self.led_by_others_to;
        self.last.filter(caught_up).map(|last| last.shown)
    }

    /// True while a segment grows.
    pub(crate) fn is_open(&self) -> bool {
        self.segments.back().is_some_and(|last| last.end.is_none())
    }

    /// The leading track's next frame. Frames come in the order of their decode times.
    pub(crate) fn advance(&mut self, frame: FrameTiming) -> Advanced {
        let mut advanced = Advanced::default();
        self.note_regularity(frame);
        if frame.keyframe
            && let Some(last) = self.last_key.replace(frame.decode)
        {
            let gop = frame.decode - last;
            self.gop = Some(gop);
            self.longest_gop = self.longest_gop.max(gop.min(self.grid.target_duration));
        }
        if let Some(floor) = self.floor
            && frame.decode + self.floor_slack() >= floor.end
        {
            self.reach_floor(floor, frame.decode);
        }
        match self.segments.back() {
            None => self.open(frame.decode),
            Some(open) if open.is_pause() => self.end_pause(frame, &mut advanced),
            Some(open) if open.end.is_none() => self.advance_open(frame, &mut advanced),
            Some(closed) => {
                let end = closed.end.unwrap_or(frame.decode);
                if self.broken {
                    self.open(frame.decode.max(end));
                } else if frame.decode - end > self.grid.part_target {
                    advanced.hole = Some((end, frame.decode));
                    self.insert_gaps(end, frame.decode);
                    self.open(frame.decode);
                } else {
                    self.open(end);
                }
            }
        }
        advanced.behind = frame.decode + self.grid.frame / 2 < self.led_by_others_to;
        let mut opens_part = false;
        if !advanced.behind
            && let Some(open) = self.segments.back_mut()
        {
            opens_part = !std::mem::replace(&mut open.open_part_has_frames, true);
        }
        let FrameTiming { decode, presentation, idr, .. } = frame;
        let shown = self.last.map_or(presentation, |last| last.shown.max(presentation));
        self.last = Some(LastFrame { decode, shown, idr, opens_part });
        if !advanced.behind && self.is_regular() {
            let next = frame.decode + self.grid.frame;
            if self.is_full(next) {
                self.close_part(next);
            }
        }
        advanced
    }

    /// A picture comes after others were waited for.
    fn end_pause(&mut self, frame: FrameTiming, advanced: &mut Advanced) {
        let Some(open) = self.segments.back() else { return };
        let (start, still) = (open.start, open.still);
        let edge = open.part_start();
        // Pictures cannot move in what grew longer without them than they may.
        let fits = edge - start <= self.grid.longest_gop_segment();
        if fits && frame.decode - start <= self.grid.part_target {
            self.led_by_others_to = edge;
            let held = self.last.is_some_and(|last| last.decode >= edge);
            if let Some(open) = self.segments.back_mut() {
                open.open_part_has_frames = still && held;
                (open.gap, open.still) = (false, false);
            }
            return;
        }
        let end = frame.decode.max(edge);
        let shown = if still { start + self.longest_pause() } else { start };
        advanced.hole = (shown < end && !self.repeats()).then_some((shown, end));
        self.close_gap(end);
        self.open(end);
    }

    fn advance_open(&mut self, frame: FrameTiming, advanced: &mut Advanced) {
        let Some(open) = self.segments.back() else { return };
        let (msn, start, part_start) = (open.msn, open.start, open.part_start());
        // Where the part that is open would end if this frame were not in it.
        let boundary =
            if open.open_part_has_frames { self.clamped(part_start, frame.decode) } else { part_start };
        if frame.decode - boundary > self.grid.part_target {
            if self.hold_last() {
                return self.end_pause(frame, advanced);
            }
            let end = self.predicted_end().clamp(part_start, boundary.max(part_start));
            self.close_segment(end);
            advanced.hole = Some((end, frame.decode));
            self.insert_gaps(end, frame.decode);
            self.open(frame.decode);
            return;
        }
        let empty = part_start == start && !open.open_part_has_frames;
        if frame.keyframe && !empty && self.may_cut(frame.decode - start) {
            let end = if open.open_part_has_frames {
                frame.decode.min(part_start + self.grid.part_target)
            } else {
                part_start
            };
            self.close_segment(end);
            self.open(end);
            return;
        }
        if open.open_part_has_frames && self.is_full(frame.decode) {
            self.close_part(frame.decode);
        }
        let Some(open) = self.segments.back() else { return };
        if open.open_part_has_frames {
            return;
        }
        let edge = open.part_start();
        if edge > start && self.outgrows(start, edge) {
            self.close_segment(edge);
            self.open(edge);
            advanced.outgrown = (!frame.keyframe).then(|| msn.next());
        }
    }

    /// The next frame is late: what is there becomes a part, if it is long enough for one.
    pub(crate) fn close_late(&mut self) {
        let end = self.predicted_end();
        if self
            .segments
            .back()
            .is_some_and(|open| open.end.is_none() && !open.gap && open.open_part_has_frames)
            && !self.has_paused()
            && self.is_full(end)
        {
            self.close_part(end);
        }
    }

    /// Closes the segment that grows, after what is in it.
    pub(crate) fn close_open_segment(&mut self) {
        self.leave_floor();
        let predicted = self.predicted_end();
        let Some(open) = self.segments.back().filter(|open| open.end.is_none()) else { return };
        let (start, open_discontinuity) = (open.part_start(), open.discontinuity);
        if open.still {
            self.close_gap(predicted.max(start));
        } else if start == open.start && !open.open_part_has_frames {
            // Nothing of it was ever announced. Its discontinuity, if it began one, is still to come.
            let before = self.segments.iter().rev().nth(1).map_or(0, |before| before.discontinuity);
            self.broken = open_discontinuity > before;
            self.segments.pop_back();
            self.next_msn = Msn(self.next_msn.0.saturating_sub(1));
        } else if open.gap {
            self.close_gap(start);
        } else if open.open_part_has_frames {
            self.close_segment(predicted.clamp(start + 1, start + self.grid.part_target));
        } else {
            self.close_segment(start);
        }
    }

    /// What follows belongs to another discontinuity. Returns the number of its first segment.
    pub(crate) fn break_here(&mut self) -> Msn {
        self.close_open_segment();
        if !self.broken {
            self.discontinuity += 1;
        }
        self.broken = true;
        self.last = None;
        self.last_key = None;
        self.next_msn
    }

    /// From here on at another frame length; the frozen part target stays.
    pub(crate) fn set_frame(&mut self, frame: i64) {
        self.grid = self.grid.with_frame(frame);
        self.irregular = 0;
    }

    /// The next run is planned by video, where sound alone made the plan.
    pub(crate) fn lead_by_video(&mut self, frame: i64) {
        self.grid = self.grid.led_by_video(frame);
        self.longest_gop = self.grid.expected_gop;
        self.irregular = 0;
    }

    /// The presentation delay of the run that begins.
    pub(crate) fn set_shift(&mut self, shift: i64) {
        self.shift = shift;
        let mut newest = self.segments.iter_mut().rev();
        let (open, before) = (newest.next(), newest.next());
        if let Some(gap) = open.filter(|open| open.end.is_none() && open.gap) {
            // Another track has opened it. It lies where these pictures do, but not where others are shown already.
            let shown = before.map_or(i64::MIN, |before| before.end.unwrap_or(before.start) + before.shift);
            gap.shift = shift.max(shown.saturating_sub(gap.start));
        }
    }

    /// Where the current run begins.
    pub(crate) fn run_start(&self) -> i64 {
        self.run_start
    }

    /// Whether a run's first frame is still to come.
    pub(crate) fn begins_run(&self) -> bool {
        self.broken || self.segments.is_empty()
    }

    /// Whether the leading track has nothing of this run yet: neither this epoch's nor an earlier one's. Another track may
    /// have opened gaps of it.
    pub(crate) fn awaits_first_frame(&self) -> bool {
        self.last.is_none() && (self.floor.is_none() || self.begins_run())
    }

    fn open(&mut self, start: i64) {
        if self.begins_run() {
            self.run_start = start;
        }
        self.broken = false;
        self.segments.push_back(PlannedSegment {
            msn: self.next_msn,
            start,
            end: None,
            discontinuity: self.discontinuity,
            gap: false,
            still: false,
            sends_again: false,
            parts: Vec::new(),
            shift: self.shift,
            lost: false,
            rebuilt: self.floor.filter(|floor| self.next_msn <= floor.msn).map(|floor| floor.epoch),
            open_part_has_frames: false,
        });
        self.next_msn = self.next_msn.next();
        while self.segments.len() > MAX_SEGMENTS {
            self.segments.pop_front();
        }
    }

    fn close_part(&mut self, at: i64) {
        let Some(open) = self.segments.back() else { return };
        // A frame that is only expected lies between milliseconds, but its timestamp will not.
        let at = if self.grid.audio_leads { at } else { (at + 500).div_euclid(1000) * 1000 };
        let end = self.clamped(open.part_start(), at);
        if let Some(open) = self.segments.back_mut() {
            open.parts.push(end);
            open.open_part_has_frames = false;
        }
    }

    fn close_segment(&mut self, end: i64) {
        if let Some(open) = self.segments.back_mut() {
            if open.open_part_has_frames && end > open.part_start() {
                open.parts.push(end);
                open.open_part_has_frames = false;
            }
            open.end = Some(open.part_start().max(end));
        }
    }

    /// A part's end near `at`: within the part target, and not under 85 % of it (RFC 8216bis §4.4.4.9).
    fn clamped(&self, part_start: i64, at: i64) -> i64 {
        at.clamp(part_start + self.grid.shortest_part(), part_start + self.grid.part_target)
    }

    /// Whether a frame that starts there no longer belongs to the part that is open.
    fn is_full(&self, decode: i64) -> bool {
        self.segments.back().is_some_and(|open| {
            let length = decode - open.part_start();
            length + self.grid.frame / 2 > self.grid.step && length >= self.grid.shortest_part()
        })
    }

    fn may_cut(&self, elapsed: i64) -> bool {
        // The last announced segment ends where its announced parts do.
        if self.floor.is_some_and(|floor| self.next_msn > floor.msn) {
            return false;
        }
        if self.grid.audio_leads {
            return elapsed + self.grid.step / 2 >= self.grid.aim
                && self.segments.back().is_some_and(|open| !open.open_part_has_frames);
        }
        elapsed >= self.grid.aim - AIM_SLACK
            || (elapsed >= SHORTEST_SEGMENT
                && elapsed + self.longest_gop > self.grid.target_duration + AIM_SLACK)
    }

    fn predicted_end(&self) -> i64 {
        let start = self.segments.back().map_or(0, PlannedSegment::part_start);
        self.last.map_or(start, |last| last.decode + self.grid.frame)
    }

    fn is_regular(&self) -> bool {
        self.irregular == 0
    }

    fn note_regularity(&mut self, frame: FrameTiming) {
        let Some(last) = self.last else { return };
        let error = (frame.decode - last.decode - self.grid.frame).abs();
        self.irregular = if error > (self.grid.frame / 8).max(ROUNDING) {
            self.irregular.max(REGULAR_AFTER)
        } else {
            self.irregular.saturating_sub(1)
        };
    }
}

/// A keyframe that comes this early still ends a segment: 2 s keyframe intervals jitter, and 4 s segments
/// among 2 s ones would double a player's buffer.
const AIM_SLACK: i64 = 250_000;
/// Scene cuts may follow each other closely; segments may not.
const SHORTEST_SEGMENT: i64 = 500_000;
/// Two timestamps that were rounded to milliseconds.
const ROUNDING: i64 = 2_000;
/// Frames in a row at the expected distance before parts are closed without waiting for the next one.
const REGULAR_AFTER: u32 = 8;
/// Several live windows: no rung may lag as far.
const MAX_SEGMENTS: usize = 64;
