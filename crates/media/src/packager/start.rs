//! Before the first playlist: what the track set and the frozen headers are made from.

mod resumed;

use std::collections::VecDeque;

use bytes::Bytes;
use caudal_livestream::timeline::{
    CaptionChannel, SOURCE, Timeline, Track as TrackModel, TrackMedia, VideoRange,
};
use caudal_livestream::{MediaDuration, RenditionName, UnixMillis};

use self::resumed::{frozen_grid, video_may_lead};
use super::continuation::{FIRST_MSN, Position, Rebuild, media_end, taken_up};
use super::live::{Live, SourceVideo};
use super::rung::Rung;
use super::{PackagerConfig, Picture, SourceMetadata, VideoSetup};
use crate::announcer::Announcer;
use crate::audio_input::AudioInput;
use crate::captions::merge;
use crate::cmaf::{InitSegment, audio_init};
use crate::codec::aac::AacConfig;
use crate::codec::avc::expected_high_codecs;
use crate::codec::{ConfigError, plausible_fps};
use crate::cut_plan::CutPlan;
use crate::grid::{DEFAULT_FRAME, Grid, audio_stride};
use crate::input_clock::{Input, SourceClock};
use crate::track::{Track, TrackKind, ticks};

/// Tags kept until everything can be frozen.
#[derive(Debug, Default)]
pub(super) struct Start {
    pub(super) metadata: Option<SourceMetadata>,
    audio: Option<AacConfig>,
    /// Channels that have been found.
    pub(super) captions: Vec<CaptionChannel>,
    video: Option<VideoSetup>,
    tags: VecDeque<Tag>,
    bytes: usize,
    began: Option<UnixMillis>,
}

#[derive(Debug)]
enum Tag {
    Picture(Picture),
    Sound(i64, Bytes),
}

/// All that has to be known.
#[derive(Debug)]
pub(super) struct Readiness {
    grid: Grid,
    frame: i64,
}

/// What the track set became.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) live: Live,
    /// Media of the leading track that is missing behind an earlier epoch's; none where that cannot be told.
    pub(super) lost: Option<MediaDuration>,
}

/// Initialization segments, and the renditions that they are for.
#[derive(Debug)]
pub(super) struct Inits {
    source: RenditionName,
    audio: RenditionName,
    sound: InitSegment,
    picture: Option<InitSegment>,
}

impl Start {
    pub(super) fn set_video(&mut self, setup: VideoSetup) {
        // Other colours alone leave the pictures what they are.
        if self.video.as_ref().is_some_and(|known| known.config.record != setup.config.record) {
            self.tags.retain(|tag| matches!(tag, Tag::Sound(..)));
        }
        self.video = Some(setup);
    }

    pub(super) fn set_audio(&mut self, config: AacConfig) {
        if self.audio.as_ref().is_some_and(|known| *known != config) {
            self.tags.retain(|tag| matches!(tag, Tag::Picture(_)));
        }
        self.audio = Some(config);
    }

    pub(super) fn picture(&mut self, picture: Picture, now: UnixMillis) {
        let has_picture = self.tags.iter().any(|tag| matches!(tag, Tag::Picture(_)));
        if !has_picture && !picture.keyframe {
            return;
        }
        self.bytes += picture.data.len();
        self.push(Tag::Picture(picture), now);
    }

    pub(super) fn sound(&mut self, at: i64, data: Bytes, now: UnixMillis) {
        self.bytes += data.len();
        self.push(Tag::Sound(at, data), now);
    }

    /// The timestamps jumped: what came before is of no use.
    pub(super) fn restart(&mut self) {
        self.tags.clear();
        self.bytes = 0;
    }

    /// Where the first media lies.
    pub(super) fn begins(&self) -> Option<i64> {
        let place = |tag: &Tag| match tag {
            Tag::Picture(picture) => picture.decode,
            Tag::Sound(at, _) => *at,
        };
        self.tags.iter().map(place).min()
    }

    /// All media that has come lies so many milliseconds earlier.
    pub(super) fn lie_earlier(&mut self, earlier: i64) {
        for tag in &mut self.tags {
            match tag {
                Tag::Picture(picture) => picture.decode -= earlier * 1000,
                Tag::Sound(at, _) => *at -= earlier * 1000,
            }
        }
    }

    /// Whether more can be waited for.
    pub(super) fn has_room(&self) -> bool {
        self.tags.len() < MAX_TAGS / 4 * 3 && self.bytes < MAX_BYTES / 4 * 3
    }

    pub(super) fn consumed(&self, input: Input) -> Option<i64> {
        self.tags.iter().rev().find_map(|tag| match (tag, input) {
            (Tag::Picture(picture), Input::Video) => Some(picture.decode + 1),
            (Tag::Sound(at, _), Input::Audio) => Some(at + 1),
            _ => None,
        })
    }

    fn push(&mut self, tag: Tag, now: UnixMillis) {
        self.began.get_or_insert(now);
        self.tags.push_back(tag);
        if self.tags.len() > MAX_TAGS || self.bytes > MAX_BYTES {
            self.restart();
        }
    }

    /// Whether the track set is known and the first part is whole.
    pub(super) fn ready(&self, config: &PackagerConfig, now: UnixMillis, force: bool) -> Option<Readiness> {
        let began = self.began?;
        let waited_for = |limit| force || now.0 - began.0 >= limit;
        let waited = waited_for(TRACKS_WITHIN_MS);
        let known = match &self.metadata {
            Some(metadata) if metadata.has_video || metadata.has_audio => {
                (!metadata.has_video || self.video.is_some() || waited_for(VIDEO_ANNOUNCED_WITHIN_MS))
                    && (!metadata.has_audio || self.audio.is_some() || waited_for(AUDIO_ANNOUNCED_WITHIN_MS))
            }
            _ => (self.video.is_some() && self.audio.is_some()) || waited,
        };
        if !known {
            return None;
        }
        let without_pictures = self.pictures().next().is_none() && waited_for(VIDEO_ANNOUNCED_WITHIN_MS);
        let leading = self.video.as_ref().filter(|_| video_may_lead(config) && !without_pictures);
        let Some(VideoSetup { config: video, .. }) = leading else {
            // Pictures that may not lead still need something that they can join.
            let joins = !video_may_lead(config) && self.pictures().next().is_some();
            let audio = self.audio.clone().or_else(|| joins.then(AacConfig::silence))?;
            let frame = i64::from(audio.frame_samples) * 1_000_000 / i64::from(audio.core_rate.max(1));
            return Some(Readiness { grid: Grid::audio_alone(frame, config.latency_mode), frame });
        };
        let times: Vec<i64> = self.pictures().map(|picture| picture.decode).collect();
        let (first, last) = (*times.first()?, *times.last()?);
        let mut lengths: Vec<i64> = times
            .windows(2)
            .filter_map(|pair| Some(pair.get(1)? - pair.first()?))
            .filter(|length| *length > 0)
            .collect();
        lengths.sort_unstable();
        let measured = lengths.get(lengths.len() / 2).copied();
        let longest = lengths.last().copied().unwrap_or(0);
        let hints = config.hints.as_ref();
        let declared = self.metadata.as_ref().and_then(|metadata| metadata.fps_milli);
        let declared = [declared, video.fps_milli, hints.map(|hints| hints.fps_milli)]
            .into_iter()
            .flatten()
            .find_map(plausible_fps)
            .map(|fps| 1_000_000_000 / i64::from(fps));
        let frame = match (declared, measured) {
            // Metadata lies; a few real frames do not.
            (Some(declared), Some(measured)) if lengths.len() >= ENOUGH_FRAMES => {
                if (declared - measured).abs() * 8 > measured { measured } else { declared }
            }
            (Some(declared), _) => declared,
            (None, Some(measured)) if lengths.len() >= ENOUGH_FRAMES || waited => measured,
            (None, _) if waited => DEFAULT_FRAME,
            (None, _) => return None,
        };
        let hinted = hints.map_or(0, |hints| i64::from(hints.max_frame_ms) * 1000);
        let longest = longest.max(hinted).max(frame).min(LONGEST_FRAME);
        let grid = Grid::video(frame, longest, config.latency_mode, hints);
        let whole = last - first + frame + frame / 2 >= grid.step.min(FIRST_LOOK);
        (whole || waited || config.resume.is_some()).then_some(Readiness { grid, frame })
    }

    fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.tags.iter().filter_map(|tag| match tag {
            Tag::Picture(picture) => Some(picture),
            Tag::Sound(..) => None,
        })
    }

    /// The initialization segments of what is known so far; of the video, where it is there to lead.
    ///
    /// # Errors
    /// [`ConfigError`] when a codec header does not make one.
    pub(super) fn inits(&self, config: &PackagerConfig) -> Result<Inits, ConfigError> {
        let sound = self.audio.clone().unwrap_or_else(AacConfig::silence);
        let leads = video_may_lead(config) && self.pictures().next().is_some();
        let video = self.video.as_ref().filter(|_| leads);
        Ok(Inits {
            source: name(SOURCE)?,
            audio: name(AUDIO)?,
            sound: audio_init(&sound)?,
            picture: video.map(|video| video.init.clone()),
        })
    }

    /// Announces the track set, then packages what was kept.
    pub(super) fn freeze(
        mut self,
        config: &PackagerConfig,
        ready: &Readiness,
        inits: Inits,
        now: UnixMillis,
        announcer: &mut Announcer,
        clock: &mut SourceClock,
    ) -> Frozen {
        // Video that does not lead joins behind a discontinuity.
        let late_video = self.video.take_if(|_| inits.picture.is_none());
        let audio = self.audio.clone();
        let sound = audio.clone().unwrap_or_else(AacConfig::silence);
        let Inits { source: source_name, audio: audio_name, sound: sound_init, picture: picture_init } =
            inits;
        let mut inits = vec![(&audio_name, &sound_init.hash)];
        inits.extend(picture_init.as_ref().map(|init| (&source_name, &init.hash)));
        let rebuild = self.rebuild(config, ready, clock, &inits);
        let lost = config.resume.as_ref().and_then(|resume| self.lost(resume, rebuild.as_ref()));
        let resumed = match (&rebuild, &config.resume) {
            (Some(rebuild), _) => Some(rebuild.timeline.clone()),
            (None, resume) => resume.as_ref().map(|resume| taken_up(resume, config.epoch)),
        };
        let floor = config.resume.as_ref().and_then(|resume| resume.floor.as_ref());
        let position = match (&resumed, floor) {
            (Some(timeline), Some(floor)) if timeline.tracks.is_empty() => Position::behind_floor(floor),
            (Some(timeline), _) => Position::behind(timeline),
            (None, _) => Position::first(),
        };
        let grid = match &resumed {
            Some(timeline) => frozen_grid(ready.grid, timeline),
            None => ready.grid,
        };
        let input = AudioInput::new(sound.clone(), audio.is_none());
        let (stride, audio_target) =
            if self.video.is_some() { audio_stride(&grid, input.frame()) } else { (1, grid.part_target) };
        let mut timeline =
            resumed.filter(|timeline| !timeline.tracks.is_empty()).unwrap_or_else(|| Timeline {
                first_msn: position.msn,
                ..self.timeline(config, &grid, ready.frame, &sound, audio_target)
            });
        if let (Some(VideoSetup { config: video, .. }), Some(_)) = (&self.video, &picture_init)
            && let Some(model) = timeline.tracks.iter_mut().find(|track| track.name == source_name)
        {
            video.describe(model);
        }
        // The frozen track set says which rungs there are.
        let track = |name: &RenditionName, kind| {
            let target = timeline.track(name).map_or(MediaDuration::from_secs(1), |track| track.part_target);
            match rebuild.as_ref().and_then(|rebuild| rebuild.track(name)) {
                None => {
                    let behind = (position.end > 0).then_some(position.end);
                    (Track::new(name.clone(), kind, position.msn, target), behind)
                }
                Some(rebuilt) => {
                    let mut track = Track::new(name.clone(), kind, rebuilt.cursor, target);
                    if rebuilt.is_numbered {
                        track.rebuild(rebuilt.numbers.clone(), rebuilt.next_number);
                        (track, Some(rebuilt.start))
                    } else {
                        track.rebuild_nothing();
                        (track, config.resume.as_ref().map(media_end))
                    }
                }
            }
        };
        let rungs = timeline
            .tracks
            .iter()
            .filter(|track| track.is_rung())
            .map(|rung| {
                let (track, behind) = track(&rung.name, TrackKind::Video);
                if rung.withdrawn { Rung::withdrawn(track) } else { Rung::new(track, behind) }
            })
            .collect();
        let kind = TrackKind::Audio { rate: sound.core_rate, frame: sound.frame_samples, stride };
        let (mut audio_track, audio_behind) = track(&audio_name, kind);
        let source = match (&self.video, &picture_init) {
            (Some(VideoSetup { config: video, header, .. }), Some(init)) => {
                let (mut track, behind) = track(&source_name, TrackKind::Video);
                track.set_init(init, announcer);
                let mut source = SourceVideo::new(track, video.clone(), header.clone());
                source.begin_behind(behind);
                Some(source)
            }
            _ => None,
        };
        audio_track.set_init(&sound_init, announcer);
        let changed = inits.iter().any(|(name, hash)| {
            let segments = timeline.track(name).map(|track| &track.segments);
            let last = segments.and_then(|all| all.iter().rev().find_map(|segment| segment.init.as_ref()));
            last.is_some_and(|last| last != *hash)
        });
        let continues = position.end > 0;
        let earlier = config.resume.as_ref().map_or(&[][..], |resume| &resume.timeline.captions);
        merge(&mut timeline.captions, earlier);
        merge(&mut timeline.captions, &self.captions);
        announcer.timeline = Some(timeline);
        announcer.snapshot();
        let own_start = rebuild.as_ref().and_then(|rebuild| rebuild.track(&audio_name)?.own_start);
        let plan = if let Some(Rebuild { known, next_msn, discontinuity, floor, .. }) = rebuild {
            CutPlan::behind(grid, known, next_msn, discontinuity, floor)
        } else {
            let breaks = changed || (continues && !clock.continues());
            CutPlan::new(grid, position.msn, position.discontinuity + u64::from(breaks))
        };
        let mut live = Live::new(plan, source, audio_track, input, rungs, now);
        match (own_start, audio_behind) {
            (Some(start), _) => live.audio_continues(ticks(start, sound.core_rate)),
            (None, Some(end)) => live.audio_begins(end),
            (None, None) => {}
        }
        if let Some(video) = late_video {
            live.video_header(video);
        }
        live.encode_header(announcer);
        for tag in self.tags {
            match tag {
                Tag::Picture(picture) => live.picture(picture, now, announcer, Some(clock)),
                Tag::Sound(at, data) => live.sound(at, data, now, announcer),
            }
        }
        Frozen { live, lost }
    }

    fn timeline(
        &self,
        config: &PackagerConfig,
        grid: &Grid,
        frame: i64,
        sound: &AacConfig,
        audio_target: i64,
    ) -> Timeline {
        let duration = |micros: i64| MediaDuration(u64::try_from(micros).unwrap_or(0));
        let track = |name: RenditionName, media, codecs, rate: u32, target| TrackModel {
            name,
            media,
            codecs,
            peak_bandwidth: rate,
            average_bandwidth: rate,
            part_target: duration(target),
            segments: VecDeque::new(),
            withdrawn: false,
        };
        let mut tracks = Vec::new();
        if let Some(VideoSetup { config: video, .. }) = &self.video {
            let frame_rate_milli = u32::try_from(1_000_000_000 / frame.max(1)).unwrap_or(30_000);
            let format = video.format();
            let media = |width, height, range| TrackMedia::Video { width, height, frame_rate_milli, range };
            if let Ok(source) = name(SOURCE) {
                let media = media(video.width, video.height, format.range);
                tracks.push(track(
                    source,
                    media,
                    video.codecs.clone(),
                    self.bit_rate(frame),
                    grid.part_target,
                ));
            }
            let mut rungs: Vec<_> = config
                .ladder
                .iter()
                .filter(|rung| {
                    rung.height < format.short_side()
                        && rung.name.as_str() != SOURCE
                        && rung.name.as_str() != AUDIO
                })
                .collect();
            rungs.sort_by_key(|rung| std::cmp::Reverse(rung.height));
            rungs.dedup_by(|a, b| a.name == b.name);
            for rung in rungs.into_iter().take(MAX_RUNGS) {
                let (width, height) = format.scaled_to(rung.height);
                let codecs = expected_high_codecs(width, height, frame_rate_milli);
                tracks.push(track(
                    rung.name.clone(),
                    media(width, height, VideoRange::Sdr),
                    codecs,
                    rung.bitrate,
                    grid.part_target,
                ));
            }
        }
        if let Ok(audio) = name(AUDIO) {
            let media = TrackMedia::Audio { sample_rate: sound.output_rate, channels: sound.channels };
            tracks.push(track(audio, media, sound.codecs.clone(), AUDIO_RATE, audio_target));
        }
        let longest = tracks.iter().map(|track| track.part_target.0).max().unwrap_or(0);
        Timeline {
            stream: config.stream,
            epoch: config.epoch,
            target_duration: u32::try_from(grid.target_duration / 1_000_000).unwrap_or(4),
            part_hold_back: MediaDuration(longest * 3),
            first_msn: FIRST_MSN,
            tracks,
            captions: Vec::new(),
            ended: false,
        }
    }

    /// Bits a second of the pictures kept, for a master playlist that is older than the first segment.
    fn bit_rate(&self, frame: i64) -> u32 {
        let (count, bytes) = self.pictures().fold((0_i64, 0_i64), |(count, bytes), picture| {
            (count + 1, bytes.saturating_add(i64::try_from(picture.data.len()).unwrap_or(0)))
        });
        let micros = (count * frame).max(1_000_000);
        u32::try_from(bytes.saturating_mul(8_000_000) / micros).unwrap_or(u32::MAX).max(MINIMUM_RATE)
    }
}

fn name(text: &str) -> Result<RenditionName, ConfigError> {
    text.parse().map_err(|_| ConfigError::Broken(text.to_owned()))
}

const AUDIO: &str = "audio";
/// ARCHITECTURE §5: tracks that nobody announced are waited for so long.
const TRACKS_WITHIN_MS: i64 = 1_000;
/// Cameras take seconds to wake. One that comes later still costs its viewers a discontinuity.
const VIDEO_ANNOUNCED_WITHIN_MS: i64 = 5_000;
/// Silence stands in for sound, so it is waited for less long.
const AUDIO_ANNOUNCED_WITHIN_MS: i64 = 3_000;
/// Frame lengths that outvote the metadata.
const ENOUGH_FRAMES: usize = 3;
/// With 1 s parts the frame rate is known long before the first is whole.
const FIRST_LOOK: i64 = 250_000;
/// One dropped second must not make the whole broadcast's parts a second long.
const LONGEST_FRAME: i64 = 500_000;
/// Eight renditions in all.
const MAX_RUNGS: usize = 6;
const MAX_TAGS: usize = 4096;
const MAX_BYTES: usize = 32 * 1024 * 1024;
const AUDIO_RATE: u32 = 160_000;
const MINIMUM_RATE: u32 = 100_000;
