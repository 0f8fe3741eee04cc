//! The lengths that a stream's playlists freeze: target duration, part target, and the frames that make a part.

use caudal_livestream::admission::{BroadcastHints, LatencyMode};

/// The leading track's grid. All in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// One frame.
    pub(crate) frame: i64,
    /// A planned part: a whole number of frames.
    pub(crate) step: i64,
    /// `PART-TARGET`.
    pub(crate) part_target: i64,
    /// What a segment aims at.
    pub(crate) aim: i64,
    /// `EXT-X-TARGETDURATION`.
    pub(crate) target_duration: i64,
    /// How far apart keyframes are thought to be.
    pub(crate) expected_gop: i64,
    /// True when there is no video.
    pub(crate) audio_leads: bool,
}

impl Grid {
    pub(crate) fn video(
        frame: i64,
        longest_frame: i64,
        mode: LatencyMode,
        hints: Option<&BroadcastHints>,
    ) -> Self {
        let frame = frame.clamp(1, LONGEST_FRAME);
        let gop = hints.map(|hints| i64::from(hints.keyframe_ms) * 1000).filter(|gop| *gop > 0);
        let target_seconds = gop.map_or(DEFAULT_TARGET_SECONDS, |gop| {
            ((gop + 999_999) / 1_000_000).clamp(SHORTEST_TARGET_SECONDS, LONGEST_TARGET_SECONDS)
        });
        // A segment is as many whole GOPs as come nearest to the aim.
        let segment = gop.map_or(AIM, |gop| gop * ((AIM + gop / 2) / gop).max(1));
        let frames = (segment + frame / 2) / frame;
        let count = frames_a_part(frames, frame, part_aim(mode));
        let part_target = round_up_to_millis((count * frame + ROUNDING).max(longest_frame));
        // One long frame among short ones makes all parts longer: they may not differ by more than 15 %.
        let step = count.max((part_target - ROUNDING) / frame) * frame;
        Self {
            frame,
            step,
            part_target,
            aim: AIM,
            target_duration: target_seconds * 1_000_000,
            expected_gop: gop.unwrap_or(AIM),
            audio_leads: false,
        }
    }

    /// Parts of a whole number of audio frames, segments of a whole number of parts.
    pub(crate) fn audio_alone(frame: i64, mode: LatencyMode) -> Self {
        let frame = frame.max(1);
        let count = ((part_aim(mode) + frame / 2) / frame).max(1);
        Self {
            frame,
            step: count * frame,
            part_target: round_up_to_millis(count * frame),
            aim: AIM,
            target_duration: DEFAULT_TARGET_SECONDS * 1_000_000,
            expected_gop: 0,
            audio_leads: true,
        }
    }

    /// What an earlier epoch froze.
    pub(crate) fn frozen(self, part_target: i64, target_duration: i64) -> Self {
        Self { part_target, target_duration, ..self }.with_frame(self.frame)
    }

    /// The same promises, for frames of another length: as many as fit.
    pub(crate) fn with_frame(self, frame: i64) -> Self {
        let frame = frame.max(1);
        let count = ((self.part_target + frame / 8) / frame).max(1);
        let step = (count * frame).min(self.part_target);
        Self { frame, step, ..self }
    }

    /// The same promises, kept by video that has joined.
    pub(crate) fn led_by_video(self, frame: i64) -> Self {
        Self { audio_leads: false, expected_gop: AIM, ..self }.with_frame(frame.min(LONGEST_FRAME))
    }

    /// 85 % of the part target, which every part but a segment's last has to have.
    pub(crate) fn shortest_part(self) -> i64 {
        (self.part_target * 85 + 99) / 100
    }

    /// Of one picture that stays: `EXTINF` rounded to whole seconds must not exceed the target duration
    /// (RFC 8216bis §4.4.3.1).
    pub(crate) fn longest_segment(self) -> i64 {
        self.target_duration + 400_000
    }

    /// Of moving pictures, which can be cut anywhere: the target duration itself, because some players take it without
    /// the rounding. GOPs of 120 frames at 29.97 a second last 4.004 s.
    pub(crate) fn longest_gop_segment(self) -> i64 {
        self.target_duration + 10_000
    }
}

/// How many parts of the video one part of an audio rendition spans, and how long that can get. Long AAC frames
/// (HE-AAC, low rates) cannot follow 0.2 s parts within 85 % of one another.
pub(crate) fn audio_stride(grid: &Grid, frame: i64) -> (usize, i64) {
    let frame = frame.max(1);
    for stride in 1..=4_i64 {
        let longest = (grid.part_target * stride + frame - 1) / frame;
        let shortest = grid.step * stride / frame;
        if shortest * 100 >= longest * 85 {
            return (usize::try_from(stride).unwrap_or(1), round_up_to_millis(longest * frame));
        }
    }
    (1, round_up_to_millis((grid.part_target + frame - 1) / frame * frame))
}

/// The divisor of `frames` whose length is nearest to the aim, by ratio; without a fair one, the nearest count.
fn frames_a_part(frames: i64, frame: i64, aim: i64) -> i64 {
    let nearest = ((aim + frame / 2) / frame).max(1);
    let distance = |count: i64| {
        let length = count * frame;
        if length > aim { length * 1000 / aim } else { aim * 1000 / length.max(1) }
    };
    (1..=frames.min(400))
        .filter(|count| frames % count == 0)
        .min_by_key(|count| distance(*count))
        .filter(|count| distance(*count) <= 1_350)
        .unwrap_or(nearest)
}

fn part_aim(mode: LatencyMode) -> i64 {
    match mode {
        LatencyMode::Low => 200_000,
        LatencyMode::Standard => 1_000_000,
    }
}

fn round_up_to_millis(micros: i64) -> i64 {
    (micros + 999) / 1000 * 1000
}

/// What a frame lasts where nothing says so.
pub(crate) const DEFAULT_FRAME: i64 = 33_333;
/// Seconds of media a segment aims at.
const AIM: i64 = 2_000_000;
/// Fewer pictures than one a second are a video with holes: parts, and what gaps are made of, stay this short.
const LONGEST_FRAME: i64 = 1_000_000;
/// Without history: OBS's default keyframe interval is 250 frames, but everybody is told to set 2 s.
const DEFAULT_TARGET_SECONDS: i64 = 4;
const SHORTEST_TARGET_SECONDS: i64 = 2;
const LONGEST_TARGET_SECONDS: i64 = 10;
/// Timestamps are whole milliseconds at both ends of a part.
const ROUNDING: i64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_frames_that_divide_two_seconds() {
        for (fps, frames) in [
            (24_000, 4),
            (23_976, 4),
            (25_000, 5),
            (29_970, 6),
            (30_000, 6),
            (50_000, 10),
            (60_000, 12),
            (15_000, 3),
        ] {
            let frame = 1_000_000_000 / fps;
            let grid = Grid::video(frame, 0, LatencyMode::Low, None);
            assert_eq!(grid.step / frame, frames, "at {fps}");
            assert!(grid.step >= grid.shortest_part() && grid.step <= grid.part_target, "{grid:?}");
        }
    }

    #[test]
    fn the_target_duration_is_the_longest_gop_of_last_time_rounded_up() {
        for (keyframe_ms, seconds) in [(1_000, 2), (2_000, 2), (2_001, 3), (8_333, 9), (20_000, 10)] {
            let hints = BroadcastHints { keyframe_ms, max_frame_ms: 34, fps_milli: 30_000 };
            let grid = Grid::video(33_333, 0, LatencyMode::Low, Some(&hints));
            assert_eq!(grid.target_duration, seconds * 1_000_000);
        }
        assert_eq!(Grid::video(33_333, 0, LatencyMode::Low, None).target_duration, 4_000_000);
    }

    #[test]
    fn audio_parts_stay_within_85_percent_of_the_longest() {
        let grid = Grid::video(33_333, 0, LatencyMode::Low, None);
        for (samples, rate, stride) in
            [(1024, 48_000, 1), (1024, 44_100, 1), (1024, 24_000, 2), (1024, 22_050, 2)]
        {
            let frame = samples * 1_000_000 / rate;
            let (found, target) = audio_stride(&grid, frame);
            assert_eq!(found, stride, "{samples} at {rate}");
            let shortest = grid.step * i64::try_from(stride).expect("small") / frame * frame;
            assert!(shortest * 100 >= target * 85, "{shortest} of {target}");
        }
    }
}
