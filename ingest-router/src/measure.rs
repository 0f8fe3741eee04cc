//! What the publisher really sends, whatever its metadata says.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_livestream::UnixMillis;
use caudal_livestream::admission::StreamKey;
use caudal_livestream::record::MediaInfo;
use caudal_media::codec::VideoConfig;
use caudal_media::flv::{AudioTag, TagError, USUAL_LENGTH_SIZE, VideoCodec, VideoTag, begins_decoding};

use crate::media_news::MediaNews;
use crate::tag::{Body, Tag};

/// Measures one publisher, over the last [`WINDOW`].
#[derive(Debug)]
pub(crate) struct Measure {
    /// Bytes by the time of their arrival, gathered in buckets.
    arrivals: VecDeque<(Instant, u64)>,
    /// Timestamps of the last video frames, unwrapped.
    frames: VecDeque<u64>,
    last_keyframe: Option<u64>,
    reordering: Reordering,
    other_track: OtherTrack,
    info: MediaInfo,
    news: MediaNews,
}

/// Whether the publisher sends more than one track of a kind (Enhanced RTMP's multitrack).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum OtherTrack {
    #[default]
    None,
    Unreported,
    Reported,
}

impl OtherTrack {
    fn seen(&mut self) {
        if *self == Self::None {
            *self = Self::Unreported;
        }
    }
}

/// What composition times have shown.
#[derive(Debug, Default)]
struct Reordering {
    first: Option<i32>,
    alike: u32,
    differ: bool,
}

impl Measure {
    /// For a publisher that connected at `connected_at`.
    pub(crate) fn new(connected_at: UnixMillis) -> Self {
        Self {
            arrivals: VecDeque::new(),
            frames: VecDeque::new(),
            last_keyframe: None,
            reordering: Reordering::default(),
            other_track: OtherTrack::default(),
            info: MediaInfo { connected_at: Some(connected_at), ..MediaInfo::default() },
            news: MediaNews::default(),
        }
    }

    /// Takes account of a tag that arrived at `now`.
    pub(crate) fn tag(&mut self, tag: &Tag, now: Instant) {
        self.arrived(tag.len(), now);
        match &tag.body {
            Body::Metadata(metadata) => {
                // The studio shows it, and the directory keeps it: not a key that somebody pasted into the wrong field.
                self.info.encoder =
                    metadata.encoder.clone().filter(|encoder| !encoder.contains(StreamKey::PREFIX));
                // Until the codec's configuration says better.
                self.info.width = self.info.width.or(metadata.width);
                self.info.height = self.info.height.or(metadata.height);
            }
            Body::Video(body) => match VideoTag::parse(body) {
                Ok(VideoTag::SequenceHeader { codec, record }) => self.configured(codec, &record),
                Ok(VideoTag::Frame { codec, flagged, composition_ms, data }) => {
                    let keyframe = begins_decoding(codec, flagged, &data, USUAL_LENGTH_SIZE);
                    self.frame(tag.timestamp_ms, keyframe);
                    self.reordering.frame(composition_ms);
                }
                Err(TagError::OtherTrack(_)) => self.other_track.seen(),
                Ok(VideoTag::Colour(_) | VideoTag::Nothing) | Err(_) => {}
            },
            Body::Audio(body) => match AudioTag::parse(body) {
                Ok(_) if self.info.audio_codec.is_none() => self.info.audio_codec = Some("AAC".to_owned()),
                Err(TagError::OtherTrack(_)) => self.other_track.seen(),
                Ok(_) | Err(_) => {}
            },
        }
    }

    /// True once, after a tag of a track that nobody packages has come.
    pub(crate) fn other_track_appeared(&mut self) -> bool {
        let appeared = self.other_track == OtherTrack::Unreported;
        if appeared {
            self.other_track = OtherTrack::Reported;
        }
        appeared
    }

    /// Frames that were not relayed because the worker was slow.
    pub(crate) fn dropped(&mut self, frames: u64) {
        self.info.dropped_frames = self.info.dropped_frames.saturating_add(frames);
    }

    /// What is to be written to the stream's record at `now`, if something is.
    pub(crate) fn news(&mut self, now: Instant) -> Option<MediaInfo> {
        let info = self.current(now);
        self.news.of(info, now)
    }

    /// The directory did not take the last news.
    pub(crate) fn news_not_taken(&mut self) {
        self.news.not_taken();
    }

    /// The stream's record shows no measurement.
    pub(crate) fn not_in_record(&mut self, now: Instant) {
        self.news.not_in_record(now);
    }

    /// All as it is at `now`.
    pub(crate) fn current(&mut self, now: Instant) -> MediaInfo {
        self.forget(now);
        let bytes: u64 = self.arrivals.iter().map(|(_, bytes)| bytes).sum();
        let since = self.arrivals.front().map_or(WINDOW, |(first, _)| now.saturating_duration_since(*first));
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1000);
        self.info.bitrate = bytes.saturating_mul(8000) / since_ms;
        self.info.fps_milli = match (self.frames.front(), self.frames.back()) {
            (Some(first), Some(last)) if last > first => {
                let intervals = u64::try_from(self.frames.len()).unwrap_or(u64::MAX).saturating_sub(1);
                u32::try_from(intervals.saturating_mul(1_000_000) / last.saturating_sub(*first))
                    .unwrap_or(u32::MAX)
            }
            _ => 0,
        };
        self.info.b_frames = self.reordering.verdict();
        let known = self.info.keyframe_interval_ms;
        MediaInfo { keyframe_interval_ms: known.max(self.without_keyframe()), ..self.info.clone() }
    }

    /// For how long no keyframe has come, in steps, once that is longer than an encoder should take: nobody new can watch.
    fn without_keyframe(&self) -> Option<u32> {
        let since = self.frames.back()?.saturating_sub(self.last_keyframe?).min(LONGEST_GOP_MS);
        let steps = since / GOP_STEP_MS;
        u32::try_from(steps.saturating_mul(GOP_STEP_MS)).ok().filter(|steps| *steps > 0)
    }

    fn arrived(&mut self, bytes: usize, now: Instant) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match self.arrivals.back_mut() {
            Some((since, sum)) if now.saturating_duration_since(*since) < BUCKET => {
                *sum = sum.saturating_add(bytes);
            }
            _ => self.arrivals.push_back((now, bytes)),
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while self.arrivals.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) > WINDOW) {
            self.arrivals.pop_front();
        }
    }

    fn configured(&mut self, codec: VideoCodec, record: &Bytes) {
        let name = match codec {
            VideoCodec::Avc => "H.264",
            VideoCodec::Hevc => "HEVC",
        };
        self.info.video_codec = Some(name.to_owned());
        if let Ok(config) = VideoConfig::parse(codec, record) {
            self.info.width = Some(config.width);
            self.info.height = Some(config.height);
        }
    }

    fn frame(&mut self, timestamp_ms: u32, keyframe: bool) {
        let at = match self.frames.back().copied() {
            None => u64::from(timestamp_ms),
            Some(last) => {
                let ahead = timestamp_ms.wrapping_sub(low_bits(last));
                if u64::from(ahead) > MAX_AHEAD_MS {
                    // A jump, or a step back: rates are counted anew from here.
                    self.frames.clear();
                    self.last_keyframe = None;
                }
                last.saturating_add(u64::from(ahead))
            }
        };
        self.frames.push_back(at);
        if keyframe && let Some(last) = self.last_keyframe.replace(at) {
            self.info.keyframe_interval_ms = u32::try_from(at.saturating_sub(last)).ok();
        }
        while self.frames.len() > MAX_FRAMES
            || self.frames.front().is_some_and(|first| at.saturating_sub(*first) > WINDOW_MS)
        {
            self.frames.pop_front();
        }
    }
}

impl Reordering {
    fn frame(&mut self, offset: i32) {
        let first = *self.first.get_or_insert(offset);
        // A constant offset is only a delay.
        self.differ |= offset != first;
        self.alike = self.alike.saturating_add(1);
    }

    fn verdict(&self) -> Option<bool> {
        if self.differ { Some(true) } else { (self.alike >= FRAMES_WITHOUT_REORDERING).then_some(false) }
    }
}

fn low_bits(unwrapped: u64) -> u32 {
    u32::try_from(unwrapped & u64::from(u32::MAX)).unwrap_or(0)
}

/// Each step is written to the stream's record, once.
const GOP_STEP_MS: u64 = 10_000;
const LONGEST_GOP_MS: u64 = 60_000;
/// Long enough to hold a GOP of most encoders, so that the bitrate does not swing with keyframes.
const WINDOW: Duration = Duration::from_secs(5);
const WINDOW_MS: u64 = 5000;
const BUCKET: Duration = Duration::from_millis(250);
/// 120 frames a second, and room for an encoder that lies about its timestamps.
const MAX_FRAMES: usize = 1024;
/// As far as a frame may lie behind the last one without being a jump.
const MAX_AHEAD_MS: u64 = 3000;
/// Every encoder with B-frames has shown one by then.
const FRAMES_WITHOUT_REORDERING: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn video(first: u8, timestamp_ms: u32, composition: u8, length: usize) -> Tag {
        let mut body = vec![first, 1, 0, 0, composition];
        body.resize(length, 0);
        Tag { timestamp_ms, body: Body::Video(body.into()) }
    }

    /// `seconds` of 25 fps with a keyframe each 2 s and 1000 bytes a frame.
    fn measured(seconds: u32, start_ms: u32, composition: impl Fn(u32) -> u8) -> MediaInfo {
        let mut measure = Measure::new(UnixMillis(7));
        let begin = Instant::now();
        for index in 0..seconds * 25 {
            let first = if index % 50 == 0 { 0x17 } else { 0x27 };
            let tag = video(first, start_ms.wrapping_add(index * 40), composition(index), 1000);
            measure.tag(&tag, begin + Duration::from_millis(u64::from(index) * 40));
        }
        measure.news(begin + Duration::from_millis(u64::from(seconds) * 1000)).unwrap()
    }

    #[test]
    fn rate_and_interval_are_measured_on_media_time_across_the_wrap() {
        for start in [0, u32::MAX - 5000] {
            let info = measured(10, start, |_| 0);
            assert_eq!(info.fps_milli, 25_000);
            assert_eq!(info.keyframe_interval_ms, Some(2000));
            assert!((180_000..=220_000).contains(&info.bitrate), "{}", info.bitrate);
            assert_eq!(info.connected_at, Some(UnixMillis(7)));
        }
    }

    #[test]
    fn an_encoder_that_stops_sending_keyframes_is_told_by_how_long_none_came() {
        let mut measure = Measure::new(UnixMillis(0));
        let begin = Instant::now();
        let mut told = Vec::new();
        for second in 0..90 {
            let first = if second <= 4 && second % 2 == 0 { 0x17 } else { 0x27 };
            let now = begin + Duration::from_secs(u64::from(second));
            measure.tag(&video(first, second * 1000, 0, 1000), now);
            told.extend(measure.news(now).map(|info| info.keyframe_interval_ms));
        }
        told.dedup();
        let intervals = [2, 10, 20, 30, 40, 50, 60].map(|seconds| Some(seconds * 1000));
        assert_eq!(told, [&[None][..], &intervals].concat());
    }

    #[test]
    fn b_frames_are_told_by_composition_times_that_differ() {
        assert_eq!(measured(1, 0, |_| 0).b_frames, None, "too early to say");
        assert_eq!(measured(4, 0, |_| 0).b_frames, Some(false));
        assert_eq!(measured(4, 0, |_| 80).b_frames, Some(false), "a constant delay");
        assert_eq!(measured(1, 0, |index| if index % 3 == 0 { 80 } else { 40 }).b_frames, Some(true));
    }

    #[test]
    fn a_second_track_is_reported_once_and_measured_as_nothing() {
        let mut measure = Measure::new(UnixMillis(0));
        let now = Instant::now();
        let tag = |body: &'static [u8]| Tag { timestamp_ms: 0, body: Body::Video(Bytes::from_static(body)) };
        measure.tag(&tag(b"\x96\x01avc1\x00\0\0\0nal"), now);
        assert!(!measure.other_track_appeared(), "track 0");
        let mut appeared = 0;
        for _ in 0..3 {
            measure.tag(&tag(b"\x96\x01avc1\x01\0\0\0nal"), now);
            appeared += usize::from(measure.other_track_appeared());
        }
        assert_eq!(appeared, 1);
        assert_eq!(measure.frames.len(), 1);
    }

    #[test]
    fn only_news_is_published() {
        let mut measure = Measure::new(UnixMillis(0));
        let begin = Instant::now();
        let mut published = 0;
        for index in 0..500u32 {
            let now = begin + Duration::from_millis(u64::from(index) * 40);
            measure.tag(
                &video(
                    if index % 50 == 0 { 0x17 } else { 0x27 },
                    index * 40,
                    0,
                    if index % 7 == 0 { 1010 } else { 1000 },
                ),
                now,
            );
            if index % 25 == 24 {
                published += u32::from(measure.news(now).is_some());
            }
        }
        assert!((1..8).contains(&published), "{published} times in 20 steady seconds");
        measure.dropped(3);
        let now = begin + Duration::from_secs(20);
        assert_eq!(measure.news(now).map(|info| info.dropped_frames), Some(3));
        assert_eq!(measure.news(now), None);
    }

    #[test]
    fn a_jump_of_timestamps_spoils_no_rate() {
        let mut measure = Measure::new(UnixMillis(0));
        let begin = Instant::now();
        for index in 0..100u32 {
            let jump = if index >= 50 { 3_600_000 } else { 0 };
            let now = begin + Duration::from_millis(u64::from(index) * 40);
            measure.tag(&video(if index % 50 == 0 { 0x17 } else { 0x27 }, index * 40 + jump, 0, 1000), now);
        }
        let info = measure.news(begin + Duration::from_secs(4)).unwrap();
        assert_eq!(info.fps_milli, 25_000);
        assert_eq!(info.keyframe_interval_ms, None, "the two keyframes lie on either side of the jump");
    }
}
