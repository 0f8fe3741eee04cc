//! One rendition: collects samples and closes parts and segments where the cut plan says.

mod rates;
mod rebuilding;

use caudal_livestream::feed::{Event, PartAnnounced};
use caudal_livestream::timeline::{Part, Segment, SegmentPhase};
use caudal_livestream::{InitHash, MediaDuration, MediaTime, Msn, PartNumber, RenditionName};

use self::rates::Rates;
use self::rebuilding::Rebuilding;
use crate::announcer::Announcer;
use crate::cmaf::{InitSegment, SampleTiming, fragment};
use crate::cut_plan::{CutPlan, PlannedSegment};
use crate::lead_in;
use crate::report::MediaReport;
use crate::sample::Sample;

/// A follower of the plan.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) name: RenditionName,
    kind: TrackKind,
    /// `PART-TARGET`, frozen, in microseconds.
    part_target: i64,
    init: Option<InitHash>,
    /// The segment of the plan that it is in.
    pub(crate) cursor: Msn,
    /// The part of that segment, by the plan's count.
    part: usize,
    samples: Vec<Sample>,
    /// The IDR picture that the last still segment showed, for another one behind it.
    held: Option<Sample>,
    next_part: PartNumber,
    open: Option<Segment>,
    /// Where the announced media of this rendition ends, as presentation time.
    announced_end: Option<i64>,
    /// Where the last whole segment ends.
    segments_end: Option<i64>,
    latest_start: i64,
    rates: Rates,
    rebuilding: Rebuilding,
}

/// What differs between the followers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrackKind {
    /// Milliseconds; parts are the plan's.
    Video,
    /// Ticks of the sample rate; a part ends with the frame that lies around the plan's.
    Audio {
        /// Samples a second.
        rate: u32,
        /// Samples a frame.
        frame: u32,
        /// The plan's parts in one of this rendition.
        stride: usize,
    },
}

/// How far a follower's samples reach, in the plan's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Covered {
    /// Everything that the plan has closed.
    All,
    /// No further sample will begin before it.
    To(i64),
    /// No further sample will come at all: rebuilt segments that end later are lost.
    Ends(i64),
}

impl Covered {
    fn reaches(self, end: i64) -> bool {
        match self {
            Self::All => true,
            Self::To(at) | Self::Ends(at) => end <= at,
        }
    }

    /// The segment is rebuilt, and what has come of it is shorter than what viewers have seen.
    fn loses(self, segment: &PlannedSegment) -> bool {
        match self {
            Self::Ends(at) => segment.rebuilt.is_some() && segment.end.is_some_and(|end| end > at),
            Self::All | Self::To(_) => false,
        }
    }
}

impl Track {
    pub(crate) fn new(name: RenditionName, kind: TrackKind, cursor: Msn, part_target: MediaDuration) -> Self {
        Self {
            name,
            kind,
            part_target: i64::try_from(part_target.0).unwrap_or(i64::MAX),
            init: None,
            cursor,
            part: 0,
            samples: Vec::new(),
            held: None,
            next_part: PartNumber(0),
            open: None,
            announced_end: None,
            segments_end: None,
            latest_start: 0,
            rates: Rates::default(),
            rebuilding: Rebuilding::default(),
        }
    }

    /// The segments from the cursor on were announced with these part numbers, as far as they were.
    pub(crate) fn rebuild(&mut self, numbers: Vec<(Msn, PartNumber)>, next: PartNumber) {
        self.rebuilding = Rebuilding { numbers, next, ..Rebuilding::default() };
    }

    /// The segments from the cursor on were announced, and nobody knows with which part numbers: they are gaps.
    pub(crate) fn rebuild_nothing(&mut self) {
        self.rebuilding.is_impossible = true;
    }

    /// What the segments from the next one on need.
    pub(crate) fn set_init(&mut self, init: &InitSegment, announcer: &mut Announcer) {
        announcer.init(&self.name, init);
        self.init = Some(init.hash.clone());
    }

    /// Whether what comes next is under this initialization segment already.
    pub(crate) fn is_under(&self, init: &InitSegment) -> bool {
        self.init.as_ref() == Some(&init.hash)
    }

    pub(crate) fn kind(&self) -> TrackKind {
        self.kind
    }

    pub(crate) fn set_kind(&mut self, kind: TrackKind) {
        self.kind = kind;
    }

    pub(crate) fn push(&mut self, sample: Sample) {
        self.held = None;
        // What was to be sent again is not needed where another picture is dated before it.
        self.samples.pop_if(|again| again.decode_time >= sample.decode_time);
        self.samples.push(sample);
    }

    /// Closes what the plan has closed and this track has all of. `next` is the decode time (ms) of the frame that
    /// follows, where it is known and follows without a hole: the last sample then lasts until it.
    pub(crate) fn settle(
        &mut self,
        plan: &CutPlan,
        covered: Covered,
        next: Option<u64>,
        announcer: &mut Announcer,
    ) {
        if let Some(first) = plan.first_msn()
            && self.cursor < first
            && self.open.is_none()
        {
            self.cursor = first;
            self.part = 0;
        }
        while let Some(segment) = plan.segment(self.cursor) {
            let is_impossible = segment.rebuilt.is_some() && self.rebuilding.is_impossible;
            if segment.lost
                || is_impossible
                || covered.loses(segment)
                || (segment.gap && self.kind == TrackKind::Video)
            {
                let Some(end) = segment.end else { return };
                self.lose(segment, end, announcer);
                continue;
            }
            if segment.still && self.kind == TrackKind::Video {
                let Some(end) = segment.end.filter(|end| covered.reaches(*end)) else { return };
                self.finish_still(segment, end, announcer);
                self.step_over();
                continue;
            }
            if segment.sends_again && self.part == 0 && self.open.is_none() {
                // A picture has come soon enough for parts. Something has to be shown until then.
                self.send_again(segment);
            }
            match (segment.parts.get(self.part), segment.end) {
                (Some(end), _) if covered.reaches(*end) => {
                    let last = segment.end.is_some() && self.part + 1 == segment.parts.len();
                    self.finish_part(segment, *end, last, next, announcer);
                    self.part += 1;
                }
                (None, Some(end)) if covered.reaches(end) => {
                    self.finish_segment(segment, end, next, announcer);
                    self.step_over();
                }
                _ => return,
            }
        }
    }

    /// The segment that it is in is a gap. What has come of one that is rebuilt is shorter than what viewers have seen.
    pub(crate) fn lose(&mut self, segment: &PlannedSegment, end: i64, announcer: &mut Announcer) {
        if segment.rebuilt.is_some() {
            self.samples.clear();
            self.rebuilding.take();
        }
        self.announce_gap(segment, end, announcer);
        self.step_over();
    }

    fn step_over(&mut self) {
        self.skip_to(self.cursor.next());
    }

    /// Goes on with that segment; what lies before it is not this track's.
    pub(crate) fn skip_to(&mut self, msn: Msn) {
        self.cursor = msn;
        self.part = 0;
        self.open = None;
        self.announced_end = None;
    }

    /// Samples in the part that is open.
    pub(crate) fn pending(&self) -> usize {
        self.samples.len()
    }

    /// Forgets samples that no segment will take.
    pub(crate) fn abandon_samples(&mut self) {
        self.samples.clear();
    }

    fn finish_part(
        &mut self,
        plan: &PlannedSegment,
        end: i64,
        last: bool,
        next: Option<u64>,
        announcer: &mut Announcer,
    ) {
        match self.kind {
            TrackKind::Video => {
                let end_ms = u64::try_from(end / 1000).unwrap_or(0);
                // A picture that is held begins the segment that follows.
                let held = self.samples.pop_if(|sample| last && sample.decode_time >= end_ms);
                let next = next.filter(|_| held.is_none()).unwrap_or(end_ms);
                if self.samples.is_empty() {
                    self.announced_end = Some(end + plan.shift);
                } else {
                    self.time_samples(next);
                    self.announce_part(plan, end + plan.shift, SampleTiming::Each, announcer);
                }
                self.samples.extend(held);
            }
            TrackKind::Audio { rate, frame, stride } => {
                if self.samples.is_empty() || (!last && !(self.part + 1).is_multiple_of(stride)) {
                    return;
                }
                // The configuration may have changed since the part target was frozen for another frame length, and the plan's
                // parts since it was frozen for sound alone.
                let shortest = (self.part_target * 85 + 99) / 100;
                let end_of = |sample: &Sample| micros(sample.decode_time + u64::from(frame), rate);
                loop {
                    let first = self.samples.first().map_or(0, |sample| micros(sample.decode_time, rate));
                    let most =
                        self.samples.iter().take_while(|s| end_of(s) - first <= self.part_target).count();
                    let rest = self.samples.split_off(self.samples.len().min(most.max(1)));
                    let end = self.samples.last().map_or(0, end_of);
                    if !last && rest.is_empty() && end - first < shortest {
                        // Only a segment's last part may be as short (RFC 8216bis §4.4.4.9): more has to come.
                        return;
                    }
                    self.announce_part(plan, end, SampleTiming::Constant(frame), announcer);
                    self.samples = rest;
                    if self.samples.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    fn time_samples(&mut self, next: u64) {
        let ends: Vec<u64> =
            self.samples.iter().skip(1).map(|sample| sample.decode_time).chain([next]).collect();
        for (sample, end) in self.samples.iter_mut().zip(ends) {
            let length = end.saturating_sub(sample.decode_time).clamp(1, MAX_SAMPLE_MS);
            sample.duration = u32::try_from(length).unwrap_or(1);
        }
    }

    fn announce_part(
        &mut self,
        plan: &PlannedSegment,
        end: i64,
        timing: SampleTiming,
        announcer: &mut Announcer,
    ) {
        let samples = std::mem::take(&mut self.samples);
        let first = samples.first().map_or(0, |sample| sample.decode_time);
        let number = match plan.rebuilt {
            None => self.next_part,
            // What begins in the middle of a segment is not that segment.
            Some(_) if self.open.is_none() && self.begins_late(plan, first) => return,
            Some(_) => self.rebuilding.number(plan.msn, self.open.is_none()),
        };
        let sequence = u32::try_from(number.0.saturating_add(1) & 0xFFFF_FFFF).unwrap_or(0);
        let data = match fragment(sequence, &samples, timing) {
            Ok(data) => data,
            Err(error) => {
                announcer.report(MediaReport::Malformed { reason: error.to_string() });
                return;
            }
        };
        let independent = matches!(self.kind, TrackKind::Audio { .. })
            || samples.first().is_some_and(|sample| sample.keyframe);
        let start = self.media_start(plan, first);
        let opens = self.open.is_none().then(|| {
            let segment = self.begin(plan, start, samples.first(), announcer);
            self.open = Some(segment.clone());
            Box::new(segment)
        });
        // Video parts follow the plan without a gap. Audio does as long as its frames do.
        let from = match (self.kind, self.announced_end) {
            (TrackKind::Video, Some(end)) => end,
            (TrackKind::Audio { rate, .. }, Some(end)) if opens.is_none() => end.max(micros(first, rate) - 1),
            _ => opens.as_ref().map_or(start, |segment| segment.start.0),
        };
        let part = Part {
            number,
            duration: MediaDuration(u64::try_from(end.saturating_sub(from)).unwrap_or(0)),
            size: u32::try_from(data.len()).unwrap_or(u32::MAX),
            independent,
        };
        if let Some(open) = &mut self.open {
            open.duration.0 = open.duration.0.saturating_add(part.duration.0);
            open.size = open.size.saturating_add(u64::from(part.size));
            if plan.rebuilt.is_none() {
                open.parts.push(part);
            }
        }
        self.announced_end = Some(end);
        if plan.rebuilt.is_some() {
            return self.rebuilding.bytes.extend_from_slice(&data);
        }
        self.next_part = PartNumber(number.0.saturating_add(1));
        let rendition = self.name.clone();
        let announced = PartAnnounced { rendition, msn: plan.msn, part, opens };
        announcer.announce(Event::Part(announced), Some(data));
    }

    fn begins_late(&self, plan: &PlannedSegment, first_sample: u64) -> bool {
        let first = i64::try_from(first_sample).unwrap_or(i64::MAX);
        self.kind == TrackKind::Video && first.saturating_mul(1000) - plan.start > LATE
    }

    /// Where a segment of this rendition begins, as presentation time.
    fn media_start(&self, plan: &PlannedSegment, first_sample: u64) -> i64 {
        match self.kind {
            TrackKind::Video => plan.start + plan.shift,
            TrackKind::Audio { rate, .. } => micros(first_sample, rate),
        }
    }

    /// `first` is the sample that it begins with.
    fn begin(
        &mut self,
        plan: &PlannedSegment,
        start: i64,
        first: Option<&Sample>,
        announcer: &Announcer,
    ) -> Segment {
        let is_sound = matches!(self.kind, TrackKind::Audio { .. });
        let begins = announcer.timeline.as_ref().is_some_and(|timeline| timeline.first_msn == plan.msn);
        let lead_in = begins
            && first.is_some_and(|first| first.idr || is_sound)
            && plan.start.min(start) >= lead_in::ROOM;
        // Around a segment shorter than an audio frame, the next one's first frame may lie before its boundary.
        self.latest_start = self.latest_start.max(start);
        let start = MediaTime(self.latest_start);
        Segment {
            msn: plan.msn,
            epoch: plan.rebuilt.unwrap_or(announcer.epoch),
            start,
            duration: MediaDuration(0),
            discontinuity: plan.discontinuity,
            program_date_time: announcer.date(start),
            init: self.init.clone(),
            phase: SegmentPhase::Open,
            gap: false,
            independent: first.is_some_and(|first| first.keyframe || is_sound),
            lead_in,
            size: 0,
            parts: Vec::new(),
        }
    }

    fn finish_segment(
        &mut self,
        plan: &PlannedSegment,
        end: i64,
        next: Option<u64>,
        announcer: &mut Announcer,
    ) {
        if !self.samples.is_empty() && matches!(self.kind, TrackKind::Audio { .. }) {
            self.finish_part(plan, end, true, next, announcer);
        }
        let Some(mut segment) = self.open.take() else {
            self.announce_gap(plan, end, announcer);
            return;
        };
        segment.phase = SegmentPhase::Finished;
        if self.kind == TrackKind::Video {
            segment.duration = MediaTime(end + plan.shift).since(segment.start);
        }
        self.segments_end = Some(segment.start.plus(segment.duration).0);
        self.rates.add(&segment);
        announcer.segment(
            &self.name,
            segment,
            self.rates.read(),
            plan.rebuilt.map(|_| self.rebuilding.take()),
        );
    }

    /// The picture that is held begins a segment which has none yet.
    fn send_again(&mut self, plan: &PlannedSegment) {
        if self.samples.is_empty() {
            let decode_time = u64::try_from(plan.start / 1000).unwrap_or(0);
            self.samples.extend(self.held.take().map(|held| Sample { decode_time, ..held }));
        }
    }

    /// A segment whose last picture is shown until its end. A part may not be as long, so it has none.
    fn finish_still(&mut self, plan: &PlannedSegment, end: i64, announcer: &mut Announcer) {
        self.send_again(plan);
        self.time_samples(u64::try_from(end / 1000).unwrap_or(0));
        let samples = std::mem::take(&mut self.samples);
        let sequence = u32::try_from(self.next_part.0 & 0xFFFF_FFFF).unwrap_or(0);
        let made = fragment(sequence, &samples, SampleTiming::Each);
        let (Some(first), Ok(data)) = (samples.first(), made) else {
            return self.announce_gap(plan, end, announcer);
        };
        let mut segment = self.begin(plan, plan.start + plan.shift, Some(first), announcer);
        segment.duration = MediaTime(end + plan.shift).since(segment.start);
        segment.phase = SegmentPhase::Finished;
        segment.size = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.segments_end = Some(segment.start.plus(segment.duration).0);
        self.rates.add(&segment);
        self.held = samples.last().filter(|last| last.idr).cloned();
        announcer.segment(&self.name, segment, self.rates.read(), Some(data));
    }

    fn announce_gap(&mut self, plan: &PlannedSegment, end: i64, announcer: &mut Announcer) {
        if !plan.gap {
            announcer.report(MediaReport::RungGap { rendition: self.name.clone(), msn: plan.msn });
        }
        // Audio that ends within a frame of the boundary goes on from where it ended, not from the boundary.
        let start = match (self.kind, self.segments_end) {
            (TrackKind::Audio { rate, frame, .. }, Some(before))
                if (before - plan.start - plan.shift).abs() <= 2 * micros(frame.into(), rate) =>
            {
                before
            }
            _ => plan.start + plan.shift,
        };
        let mut segment = self.begin(plan, start, None, announcer);
        segment.duration = MediaTime(end + plan.shift).since(segment.start);
        self.segments_end = Some(segment.start.plus(segment.duration).0);
        segment.phase = SegmentPhase::Finished;
        segment.gap = true;
        announcer.segment(&self.name, segment, self.rates.read(), None);
    }
}

/// Ticks to microseconds, rounded to the nearest.
pub(crate) fn micros(ticks: u64, rate: u32) -> i64 {
    let rate = u128::from(rate.max(1));
    i64::try_from((u128::from(ticks) * 1_000_000 + rate / 2) / rate).unwrap_or(i64::MAX)
}

/// Microseconds to ticks, rounded to the nearest.
pub(crate) fn ticks(micros: i64, rate: u32) -> u64 {
    let micros = u128::try_from(micros).unwrap_or(0);
    u64::try_from((micros * u128::from(rate) + 500_000) / 1_000_000).unwrap_or(u64::MAX)
}

/// Encoders that begin anew may swallow a frame or two.
const LATE: i64 = 100_000;
/// No frame is shown longer than a segment may last: what lies behind is a hole.
const MAX_SAMPLE_MS: u64 = 10_400;
