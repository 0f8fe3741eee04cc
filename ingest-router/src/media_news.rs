//! When the directory hears of a measurement: a record is written, and told to all who watch it, each time.

use std::time::{Duration, Instant};

use caudal_livestream::record::MediaInfo;

/// Decides which measurements of one publisher are news.
///
/// Codec, size, the encoder and everything else that is known for good are news at once. So are frames that begin to be
/// dropped, and a keyframe interval that grows, because the next broadcast's headers are planned by the longest. Frame
/// rate and bitrate swing: they are news when they leave what was written by far, and [`PAUSE`] apart. All else is for
/// those who ask the router.
#[derive(Debug, Default)]
pub(crate) struct MediaNews {
    written: Written,
    /// The same before the news that was given out last.
    before: Written,
    /// When the news that were not taken were given out.
    refused: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Written {
    last: Option<(MediaInfo, Instant)>,
    /// The longest keyframe interval that was written, in milliseconds.
    longest_interval: u32,
}

impl MediaNews {
    /// What is to be written at `now`, if something is. It counts as written, unless [`not_taken`](Self::not_taken) says otherwise.
    pub(crate) fn of(&mut self, measured: MediaInfo, now: Instant) -> Option<MediaInfo> {
        // Who refuses at once would otherwise be asked each second.
        if self.refused.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return None;
        }
        let news = match &self.written.last {
            None => measured,
            Some((written, at)) => {
                let class = bitrate_class(written.bitrate, measured.bitrate);
                let news = MediaInfo { bitrate: class, ..measured };
                let swung = class != written.bitrate || frame_rate_changed(written, &news);
                let waited = now.saturating_duration_since(*at) >= PAUSE;
                let urgent = lasting_changed(written, &news) || self.interval_grew(&news);
                let due = urgent || (swung && waited);
                if !due {
                    return None;
                }
                news
            }
        };
        let interval = news.keyframe_interval_ms.unwrap_or(0);
        let written = Written {
            longest_interval: self.written.longest_interval.max(interval),
            last: Some((news.clone(), now)),
        };
        self.before = std::mem::replace(&mut self.written, written);
        Some(news)
    }

    /// The directory did not take the last news: the record stands as it did before.
    pub(crate) fn not_taken(&mut self) {
        self.refused = self.written.last.as_ref().map(|(_, at)| *at);
        self.written = self.before.clone();
    }

    /// The record shows no measurement. One that was told a while ago was not heard, or forgotten by a controller that was
    /// started anew: the next one is news whatever it is.
    pub(crate) fn not_in_record(&mut self, now: Instant) {
        self.written.last.take_if(|(_, at)| now.saturating_duration_since(*at) >= PAUSE);
    }

    fn interval_grew(&self, measured: &MediaInfo) -> bool {
        let interval = measured.keyframe_interval_ms.unwrap_or(0);
        let longest = self.written.longest_interval;
        interval > longest && !near(longest, interval, INTERVAL_PERCENT)
    }
}

/// The class of `measured` bits a second, after that of `written`: the same while it is within 30 % of it, and otherwise
/// what was measured. The way back is as long, so that a bitrate at the edge of a class does not swing between two.
fn bitrate_class(written: u64, measured: u64) -> u64 {
    if written.abs_diff(measured).saturating_mul(100) <= written.saturating_mul(CLASS_PERCENT) {
        written
    } else {
        measured
    }
}

/// What is known for good is known better, or frames begin to be dropped.
fn lasting_changed(written: &MediaInfo, measured: &MediaInfo) -> bool {
    let lasting = |info: &MediaInfo| MediaInfo {
        bitrate: 0,
        fps_milli: info.fps_milli.min(1),
        keyframe_interval_ms: None,
        dropped_frames: info.dropped_frames.min(1),
        ..info.clone()
    };
    // Behind a jump of timestamps there is no frame rate for a moment.
    let known = MediaInfo { fps_milli: measured.fps_milli.max(written.fps_milli.min(1)), ..measured.clone() };
    lasting(written) != lasting(&known)
}

fn frame_rate_changed(written: &MediaInfo, measured: &MediaInfo) -> bool {
    measured.fps_milli > 0 && !near(written.fps_milli, measured.fps_milli, FPS_PERCENT)
}

/// The two differ by no more than `percent` of the greater one.
fn near(one: u32, other: u32, percent: u64) -> bool {
    u64::from(one.abs_diff(other)).saturating_mul(100) <= u64::from(one.max(other)).saturating_mul(percent)
}

/// A record is written for nothing but a frame rate, a bitrate or what it has lost at most this often.
const PAUSE: Duration = Duration::from_secs(10);
/// Variable bitrate swings by that much around what an encoder was told.
const CLASS_PERCENT: u64 = 30;
/// 24 and 25 frames are not told apart, 25 and 30 are.
const FPS_PERCENT: u64 = 5;
/// A frame too early or too late.
const INTERVAL_PERCENT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> MediaInfo {
        MediaInfo {
            bitrate: 6_000_000,
            fps_milli: 30_000,
            keyframe_interval_ms: Some(2_000),
            width: Some(1280),
            height: Some(720),
            video_codec: Some("H.264".to_owned()),
            ..MediaInfo::default()
        }
    }

    #[test]
    fn a_bitrate_is_of_its_class_until_it_is_30_percent_off() {
        for (case, written, measured, class) in [
            ("the same", 1000, 1000, 1000),
            ("just within, above", 1000, 1300, 1000),
            ("just within, below", 1000, 700, 1000),
            ("above", 1000, 1301, 1301),
            ("below", 1000, 699, 699),
            ("back from there to where it left", 1301, 1000, 1301),
            ("silence", 1000, 0, 0),
            ("out of silence", 0, 1, 1),
            ("still silent", 0, 0, 0),
            ("the highest there is", u64::MAX, u64::MAX, u64::MAX),
        ] {
            assert_eq!(bitrate_class(written, measured), class, "{case}");
        }
    }

    #[test]
    fn what_lasts_is_news_at_once_and_what_swings_only_after_a_pause() {
        type Change = fn(&mut MediaInfo);
        let cases: [(&str, Change, bool, bool); 14] = [
            ("nothing", |_| {}, false, false),
            ("another size", |info| info.height = Some(1080), true, true),
            ("another codec", |info| info.video_codec = Some("HEVC".to_owned()), true, true),
            ("sound", |info| info.audio_codec = Some("AAC".to_owned()), true, true),
            ("reordered frames", |info| info.b_frames = Some(true), true, true),
            ("a bitrate within its class", |info| info.bitrate = 7_000_000, false, false),
            ("a bitrate out of its class", |info| info.bitrate = 9_000_000, false, true),
            ("a frame rate that wavers", |info| info.fps_milli = 29_000, false, false),
            ("another frame rate", |info| info.fps_milli = 60_000, false, true),
            ("no frame rate behind a jump", |info| info.fps_milli = 0, false, false),
            ("a longer GOP", |info| info.keyframe_interval_ms = Some(4_000), true, true),
            ("a shorter GOP", |info| info.keyframe_interval_ms = Some(500), false, false),
            ("a GOP that is a frame longer", |info| info.keyframe_interval_ms = Some(2_017), false, false),
            ("frames begin to be dropped", |info| info.dropped_frames = 3, true, true),
        ];
        for (case, change, at_once, later) in cases {
            let begin = Instant::now();
            for (after, expected) in [(Duration::from_secs(1), at_once), (PAUSE, later)] {
                let mut news = MediaNews::default();
                assert_eq!(news.of(info(), begin), Some(info()), "the first measurement");
                let mut changed = info();
                change(&mut changed);
                let told = news.of(changed, begin + after).is_some();
                assert_eq!(told, expected, "{case}, {after:?} after the last write");
            }
        }
    }

    #[test]
    fn what_the_record_does_not_show_is_told_again_after_a_pause() {
        let mut news = MediaNews::default();
        let begin = Instant::now();
        assert!(news.of(info(), begin).is_some());
        for (after, told) in [(Duration::from_secs(9), None), (PAUSE, Some(info())), (PAUSE, None)] {
            news.not_in_record(begin + after);
            assert_eq!(news.of(info(), begin + after), told);
        }
    }

    #[test]
    fn more_dropped_frames_are_no_news_but_are_told_with_the_next() {
        let mut news = MediaNews::default();
        let begin = Instant::now();
        let dropping = |frames| MediaInfo { dropped_frames: frames, ..info() };
        assert!(news.of(dropping(1), begin).is_some());
        assert_eq!(news.of(dropping(100), begin + 2 * PAUSE), None);
        let told = news.of(MediaInfo { height: Some(1080), ..dropping(200) }, begin + 2 * PAUSE);
        assert_eq!(told.map(|info| info.dropped_frames), Some(200));
    }

    #[test]
    fn a_bitrate_and_a_frame_rate_that_swing_each_second_are_written_every_ten() {
        let mut news = MediaNews::default();
        let begin = Instant::now();
        let writes = (0..60_u64)
            .filter(|second| {
                let (bitrate, fps_milli) =
                    if second % 2 == 0 { (8_000_000, 60_000) } else { (1_000_000, 15_000) };
                let measured = MediaInfo { bitrate, fps_milli, ..info() };
                news.of(measured, begin + Duration::from_secs(*second)).is_some()
            })
            .count();
        assert!((2..=6).contains(&writes), "{writes} writes in a minute");
    }
}
