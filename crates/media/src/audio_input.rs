//! The audio track's own clock: one unbroken row of frames, whatever the publisher's timestamps do.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec::aac::AacConfig;
use crate::sample::Sample;
use crate::track::{micros, ticks};

/// Frames on their way to the audio track. Frames follow each other without a gap: timestamps only say where the row
/// begins, where silence belongs, and which frames are too many.
#[derive(Debug)]
pub(crate) struct AudioInput {
    config: AacConfig,
    silent: Bytes,
    /// Where the next frame begins, in ticks.
    next: Option<u64>,
    queue: VecDeque<Sample>,
    /// Nothing before it is wanted (µs).
    floor: i64,
    /// A frame of an earlier epoch's row began there (ticks): this row is that row.
    row: Option<u64>,
    /// Where the frames end that were taken: what comes next never overlaps them.
    taken: i64,
    /// True while there is no real audio: silence then follows the video closely.
    absent: bool,
    late: bool,
    /// How far video may run ahead before silence takes the place of what is missing (µs).
    patience: i64,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is in the row.
    InRow,
    /// It is, behind silence of so many microseconds from the first instant.
    AfterSilence(i64, i64),
    /// It came too late. True for the first of a series.
    Late(bool),
}

impl AudioInput {
    pub(crate) fn new(config: AacConfig, absent: bool) -> Self {
        let silent = config.silent_frame();
        Self {
            config,
            silent,
            next: None,
            queue: VecDeque::new(),
            floor: i64::MIN,
            row: None,
            taken: 0,
            absent,
            late: false,
            patience: PATIENCE,
        }
    }

    pub(crate) fn config(&self) -> &AacConfig {
        &self.config
    }

    /// One frame in microseconds, rounded up.
    pub(crate) fn frame(&self) -> i64 {
        micros(self.config.frame_samples.into(), self.config.core_rate)
    }

    /// Another run begins: the row is anchored anew, at or behind `floor`.
    pub(crate) fn restart(&mut self, config: AacConfig, floor: i64) {
        self.silent = config.silent_frame();
        self.config = config;
        self.next = None;
        self.queue.clear();
        self.floor = floor;
        self.row = None;
    }

    /// An earlier epoch's row is continued with the frame that begins at `tick`.
    pub(crate) fn take_up(&mut self, tick: u64) {
        self.row = Some(tick);
        self.begin(micros(tick, self.config.core_rate));
    }

    /// Nothing before `floor` is wanted: a run has begun there.
    pub(crate) fn begin(&mut self, floor: i64) {
        self.floor = self.floor.max(floor);
        let half = self.frame() / 2;
        while self.queue.front().is_some_and(|first| {
            self.start_of(first) + half < self.floor || self.start_of(first) < self.taken
        }) {
            self.queue.pop_front();
        }
        let frame = u64::from(self.config.frame_samples);
        while let Some(first) = self.queue.front()
            && self.start_of(first) - self.floor >= self.frame()
            && u64::try_from(self.queue.len()).unwrap_or(u64::MAX) < MAX_SILENCE
        {
            let decode_time = first.decode_time.saturating_sub(frame);
            let data = self.silent.clone();
            let duration = self.config.frame_samples;
            let (keyframe, idr) = (true, false);
            self.queue.push_front(Sample { decode_time, duration, composition: 0, keyframe, idr, data });
        }
        if self.queue.is_empty()
            && self.next.is_some_and(|next| micros(next, self.config.core_rate) < self.floor)
        {
            self.next = None;
        }
    }

    /// A frame that the publisher dates at `at`.
    pub(crate) fn accept(&mut self, at: i64, data: Bytes) -> Accepted {
        let frame = self.frame();
        if at + frame / 2 < self.floor || (self.next.is_none() && at < self.taken) {
            return Accepted::Late(false);
        }
        self.absent = false;
        let stamped = self.on_row(ticks(at, self.config.core_rate));
        let next = match self.next {
            Some(next) => next,
            None if self.floor > i64::MIN && at - self.floor > frame => {
                // The row begins where the run does.
                let missing = u64::try_from((at - self.floor) / frame).unwrap_or(0).min(MAX_SILENCE);
                stamped.saturating_sub(missing * u64::from(self.config.frame_samples))
            }
            None => stamped,
        };
        self.next = Some(next);
        let error = at - micros(next, self.config.core_rate);
        if error < -TOLERANCE {
            let first = !self.late;
            self.late = true;
            // Audio that always comes so late is waited for, or silence would always be there before it.
            self.patience = self.patience.max(LATE_MARGIN - error).min(MAX_PATIENCE);
            return Accepted::Late(first);
        }
        self.late = false;
        let from = micros(next, self.config.core_rate);
        let missing = if error > TOLERANCE.max(frame) { (error + frame / 2) / frame } else { 0 };
        for _ in 0..u64::try_from(missing).unwrap_or(0).min(MAX_SILENCE) {
            self.append(self.silent.clone());
        }
        self.append(data);
        if missing > 0 { Accepted::AfterSilence(from, missing * frame) } else { Accepted::InRow }
    }

    /// Video has come as far as `edge`: after waiting a while, silence takes the place of what is missing.
    pub(crate) fn follow_video(&mut self, edge: i64) -> Option<(i64, i64)> {
        if self.floor == i64::MIN {
            return None;
        }
        let next = *self.next.get_or_insert_with(|| ticks(self.floor, self.config.core_rate));
        let from = micros(next, self.config.core_rate);
        if !self.absent && edge - from <= self.patience {
            return None;
        }
        let began = !self.absent;
        self.absent = true;
        self.patience = PATIENCE;
        self.fill(edge);
        let length = self.end() - from;
        (began && length > 0).then_some((from, length))
    }

    /// Whether silence stands in for the publisher's sound.
    pub(crate) fn is_absent(&self) -> bool {
        self.absent
    }

    /// Silence up to `edge`.
    pub(crate) fn fill(&mut self, edge: i64) {
        let mut filled = 0;
        while self.next.is_some() && self.end() < edge && filled < MAX_SILENCE {
            self.append(self.silent.clone());
            filled += 1;
        }
    }

    /// Where the row ends so far.
    pub(crate) fn end(&self) -> i64 {
        self.next.map_or(self.floor.max(0), |next| micros(next, self.config.core_rate))
    }

    /// The middle of the first frame that is not yet taken: it decides which part a frame belongs to.
    pub(crate) fn next_middle(&self) -> Option<i64> {
        let start = self.queue.front().map(|first| first.decode_time).or(self.next)?;
        Some(micros(start, self.config.core_rate) + self.frame() / 2)
    }

    pub(crate) fn take(&mut self) -> Option<Sample> {
        let sample = self.queue.pop_front()?;
        self.taken = micros(sample.decode_time + u64::from(sample.duration), self.config.core_rate);
        Some(sample)
    }

    /// Where the first frame that is not yet taken begins.
    pub(crate) fn first(&self) -> Option<i64> {
        self.queue.front().map(|first| self.start_of(first))
    }

    /// The frame of the row that is continued which begins nearest to `tick`.
    fn on_row(&self, tick: u64) -> u64 {
        let Some(row) = self.row else { return tick };
        let frame = u64::from(self.config.frame_samples).max(1);
        let frames = (tick.abs_diff(row) + frame / 2) / frame * frame;
        if tick >= row { row + frames } else { row.saturating_sub(frames) }
    }

    fn start_of(&self, sample: &Sample) -> i64 {
        micros(sample.decode_time, self.config.core_rate)
    }

    fn append(&mut self, data: Bytes) {
        let Some(next) = self.next else { return };
        let duration = self.config.frame_samples;
        let (decode_time, keyframe, idr) = (next, true, false);
        self.queue.push_back(Sample { decode_time, duration, composition: 0, keyframe, idr, data });
        if self.queue.len() > MAX_QUEUE {
            self.queue.pop_front();
        }
        self.next = Some(next + u64::from(duration));
    }
}

/// Encoders date frames by when they were captured, give or take tens of milliseconds. Beyond this, ear and eye part.
const TOLERANCE: i64 = 50_000;
/// Most publishers send audio no more than a second behind the video.
const PATIENCE: i64 = 1_000_000;
/// Audio later than this is none; players would wait for it as long.
const MAX_PATIENCE: i64 = 6_000_000;
/// How much later than the first late frame the others may come.
const LATE_MARGIN: i64 = 500_000;
/// About five seconds of the shortest frames; a longer hole is a discontinuity.
const MAX_SILENCE: u64 = 512;
/// Audio far ahead of its video, or video that never comes: ten seconds.
const MAX_QUEUE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> AudioInput {
        AudioInput::new(AacConfig::silence(), false)
    }

    fn frame() -> Bytes {
        Bytes::from_static(b"frame")
    }

    #[test]
    fn jittering_timestamps_make_an_even_row() {
        let mut input = input();
        for (n, jitter) in [(0, 0), (1, 9_000), (2, -12_000), (3, 30_000), (4, -30_000)] {
            let at = 10_000_000 + micros(n * 1024, 48_000) + jitter;
            assert_eq!(input.accept(at, frame()), Accepted::InRow);
        }
        let times: Vec<u64> = std::iter::from_fn(|| input.take()).map(|sample| sample.decode_time).collect();
        assert_eq!(times, [480_000, 481_024, 482_048, 483_072, 484_096]);
    }

    #[test]
    fn a_hole_gets_whole_silent_frames() {
        let mut input = input();
        input.accept(10_000_000, frame());
        let accepted = input.accept(10_021_333 + 106_667, frame());
        assert_eq!(accepted, Accepted::AfterSilence(10_021_333, 5 * 21_333));
        assert_eq!(std::iter::from_fn(|| input.take()).count(), 7);
    }

    #[test]
    fn a_run_that_begins_before_its_audio_begins_with_silence() {
        let mut input = input();
        input.begin(10_000_000);
        input.accept(10_100_000, frame());
        assert!(input.first().expect("frames") - 10_000_000 < 21_334);
        assert_eq!(std::iter::from_fn(|| input.take()).count(), 5);
    }

    #[test]
    fn audio_that_always_comes_late_is_waited_for_after_its_first_silence() {
        for lag in [1_200_000, 2_500_000, 4_900_000] {
            let mut input = input();
            input.begin(10_000_000);
            let (mut sent, mut silences, mut in_row) = (0, 0, 0);
            for n in 0..1_000 {
                let edge = 10_000_000 + n * 33_333;
                silences += usize::from(input.follow_video(edge).is_some());
                while 10_000_000 + sent * 21_333 + lag <= edge {
                    in_row +=
                        usize::from(input.accept(10_000_000 + sent * 21_333, frame()) == Accepted::InRow);
                    sent += 1;
                }
                while input.take().is_some() {}
            }
            assert_eq!(silences, 1, "{lag}");
            assert!(
                sent - i64::try_from(in_row).expect("few") <= lag / 21_333 + 3,
                "{lag}: {in_row} of {sent}"
            );
        }
    }

    #[test]
    fn frames_that_come_after_silence_took_their_place_are_dropped() {
        let mut input = input();
        input.begin(10_000_000);
        assert_eq!(input.follow_video(10_900_000), None);
        assert!(input.follow_video(11_100_000).is_some());
        assert_eq!(input.accept(10_500_000, frame()), Accepted::Late(true));
        assert_eq!(input.accept(10_521_333, frame()), Accepted::Late(false));
        assert_eq!(input.accept(11_100_000, frame()), Accepted::InRow);
    }
}
