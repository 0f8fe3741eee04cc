//! From a publisher's tags to parts, segments and the events that announce them.

mod continuation;
mod live;
mod rung;
mod start;

use bytes::Bytes;
use caudal_livestream::admission::{BroadcastHints, LadderRung, LatencyMode};
use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::Event;
use caudal_livestream::state::InputClock;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{
    Epoch, Generation, InitHash, MediaTime, Msn, RenditionName, SessionId, StreamId, UnixMillis,
};

use self::live::Live;
use self::start::Start;
use crate::announcer::Announcer;
use crate::codec::VideoConfig;
use crate::codec::aac::AacConfig;
use crate::flv::{AudioTag, TagError, VideoTag};
use crate::input_clock::{Input, Placed, SourceClock};
use crate::report::{DiscontinuityCause, MediaReport};

/// What one worker assignment begins with.
#[derive(Clone, Debug)]
pub struct PackagerConfig {
    /// The broadcast.
    pub stream: StreamId,
    /// The assignment; part of every file name.
    pub epoch: Epoch,
    /// Parts near 0.2 s, or near 1 s.
    pub latency_mode: LatencyMode,
    /// Renditions below the source; those not smaller than it are left out when the track set is frozen.
    pub ladder: Vec<LadderRung>,
    /// What the channel's last broadcast was like.
    pub hints: Option<BroadcastHints>,
    /// What an earlier epoch left, when this one continues it.
    pub resume: Option<Resume>,
}

/// What is known of the epochs before this one.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The highest filled state's timeline. Without tracks when none could be read: numbers then go on behind `floor`,
    /// and everything else is as for a new stream.
    pub timeline: Timeline,
    /// Its clock.
    pub clock: Option<InputClock>,
    /// The last announced position that the controller saw.
    pub floor: Option<Floor>,
}

/// An encoder's `onMetaData`, as far as packaging needs it. None of it has to be true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceMetadata {
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// Frames a thousand seconds.
    pub fps_milli: Option<u32>,
    /// Whether a video codec is named.
    pub has_video: bool,
    /// Whether an audio codec is named.
    pub has_audio: bool,
    /// What the encoder calls itself.
    pub encoder: Option<String>,
}

/// What the shell is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Store as `{rendition}/init-{hash}.mp4` before anything that needs it.
    Init {
        /// The rendition it belongs to.
        rendition: RenditionName,
        /// Of its bytes.
        hash: InitHash,
        /// The file.
        data: Bytes,
    },
    /// Announce to feed readers. The packager's own timeline has it already.
    Announce {
        /// What.
        event: Event,
        /// The bytes of an [`Event::Part`], and of an [`Event::Segment`] that was made without parts. Any other
        /// segment is its parts laid end to end.
        data: Option<Bytes>,
    },
    /// Source video for ffmpeg's standard input.
    Encode {
        /// Decode time on the stream's timeline, in milliseconds.
        timestamp_ms: u32,
        /// FLV VIDEODATA.
        body: Bytes,
        /// A place where a decoder can begin.
        keyframe: bool,
        /// A codec header, not a picture.
        sequence_header: bool,
    },
    /// Worth a log line or a metric.
    Report(MediaReport),
}

/// One stream's packager. Pure: time and bytes come in, [`Output`]s come out of [`Packager::poll`].
#[derive(Debug)]
pub struct Packager {
    config: PackagerConfig,
    announcer: Announcer,
    clock: Option<SourceClock>,
    stage: Stage,
    /// Codecs that were refused, so that each is reported once.
    refused: Vec<String>,
}

#[derive(Debug)]
enum Stage {
    /// Collecting what the track set and the headers are frozen from.
    Starting(Box<Start>),
    Live(Box<Live>),
    Ended,
}

/// A coded picture of the source.
#[derive(Clone, Debug)]
struct Picture {
    /// Decode time on the timeline, in microseconds.
    decode: i64,
    composition_ms: i32,
    keyframe: bool,
    data: Bytes,
    /// The tag that it came in, for ffmpeg.
    body: Bytes,
}

impl Packager {
    /// Nothing is announced before the first media.
    pub fn new(config: PackagerConfig) -> Self {
        let mut announcer = Announcer::new(config.epoch);
        let clock = config.resume.as_ref().and_then(|resume| resume.clock).map(|clock| {
            announcer.anchor = clock.date_anchor;
            SourceClock::resume(clock)
        });
        Self { announcer, clock, config, stage: Stage::Starting(Box::default()), refused: Vec::new() }
    }

    /// A relay connection begins: the duplicate filter of ARCHITECTURE §3.5 is on until the first new tag.
    pub fn publisher(&mut self, session: SessionId, generation: Generation) {
        self.clock.get_or_insert_with(|| SourceClock::new(session, generation)).connect(session, generation);
        if let Stage::Live(live) = &mut self.stage {
            live.connected();
        }
    }

    /// The encoder's description of its stream.
    pub fn metadata(&mut self, metadata: &SourceMetadata) {
        if let Stage::Starting(start) = &mut self.stage {
            start.metadata = Some(metadata.clone());
        }
    }

    /// An FLV VIDEODATA body, as RTMP message type 9 carries it.
    pub fn video(&mut self, rtmp_ms: u32, body: Bytes, now: UnixMillis) {
        match VideoTag::parse(&body) {
            Err(error) => self.refuse(error),
            Ok(VideoTag::Nothing) => {}
            Ok(VideoTag::SequenceHeader { codec, record }) => match VideoConfig::parse(codec, &record) {
                Err(error) => self.malformed(error.to_string()),
                Ok(config) => match &mut self.stage {
                    Stage::Starting(start) => start.set_video(config, body),
                    Stage::Live(live) => live.video_header(config, body, &mut self.announcer),
                    Stage::Ended => {}
                },
            },
            Ok(VideoTag::Frame { keyframe, composition_ms, data, .. }) => {
                let Some(at) = self.place(Input::Video, rtmp_ms, now) else { return };
                let picture = Picture { decode: at.0, composition_ms, keyframe, data, body };
                match &mut self.stage {
                    Stage::Starting(start) => start.picture(picture, now),
                    Stage::Live(live) => live.picture(picture, now, &mut self.announcer, self.clock.as_mut()),
                    Stage::Ended => {}
                }
                self.try_start(now, false);
            }
        }
    }

    /// An FLV AUDIODATA body, as RTMP message type 8 carries it.
    #[expect(clippy::needless_pass_by_value, reason = "a tag is handed over, as to `video`")]
    pub fn audio(&mut self, rtmp_ms: u32, body: Bytes, now: UnixMillis) {
        match AudioTag::parse(&body) {
            Err(error) => self.refuse(error),
            Ok(AudioTag::Nothing) => {}
            Ok(AudioTag::SequenceHeader { record, .. }) => match AacConfig::parse(&record) {
                Err(error) => self.malformed(error.to_string()),
                Ok(config) => match &mut self.stage {
                    Stage::Starting(start) => start.audio = Some(config),
                    Stage::Live(live) => {
                        live.audio_header(config, now, &mut self.announcer, self.clock.as_mut());
                    }
                    Stage::Ended => {}
                },
            },
            Ok(AudioTag::Frame { data, .. }) => {
                if data.is_empty() {
                    return;
                }
                let Some(at) = self.place(Input::Audio, rtmp_ms, now) else { return };
                match &mut self.stage {
                    Stage::Starting(start) => start.sound(at.0, data, now),
                    Stage::Live(live) => live.sound(at.0, data, now, &mut self.announcer),
                    Stage::Ended => {}
                }
                self.try_start(now, false);
            }
        }
    }

    /// No rung can be made of this publisher's video: the track set, while it is not frozen, gets none.
    pub fn without_rungs(&mut self) {
        self.config.ladder.clear();
    }

    /// A video tag of ffmpeg's FLV output for one rung, on the stream's timeline.
    #[expect(clippy::needless_pass_by_value, reason = "a tag is handed over, as to `video` and `audio`")]
    pub fn rung_video(&mut self, rendition: &RenditionName, timestamp_ms: u32, body: Bytes) {
        if let Stage::Live(live) = &mut self.stage {
            live.rung_video(rendition, timestamp_ms, &body, &mut self.announcer);
        }
    }

    /// The rung's encoder is gone. A later one may go on from any keyframe at or before what is missing: pictures that
    /// this rung already has are dropped.
    pub fn rung_failed(&mut self, rendition: &RenditionName) {
        if let Stage::Live(live) = &mut self.stage {
            live.rung_failed(rendition);
        }
    }

    /// The rendition leaves the stream, until [`Packager::rung_returns`].
    pub fn withdraw(&mut self, rendition: &RenditionName) {
        if let Stage::Live(live) = &mut self.stage {
            live.withdraw(rendition, &mut self.announcer);
        }
    }

    /// An encoder makes the rendition again that was withdrawn. Players see it once it has some segments.
    pub fn rung_returns(&mut self, rendition: &RenditionName) {
        if let Stage::Live(live) = &mut self.stage {
            live.rung_returns(rendition);
        }
    }

    /// The relay connection ended, for whatever reason.
    pub fn publisher_lost(&mut self, now: UnixMillis) {
        if let Stage::Live(live) = &mut self.stage {
            live.lost(now, &mut self.announcer);
        }
    }

    /// Time passes: closes what is late. Call it about every 50 ms while live; never when packaging offline.
    pub fn tick(&mut self, now: UnixMillis) {
        self.try_start(now, false);
        if let Stage::Live(live) = &mut self.stage {
            live.tick(now, &mut self.announcer);
        }
    }

    /// The broadcast is over: closes everything and announces the end.
    pub fn finish(&mut self, now: UnixMillis) {
        self.try_start(now, true);
        if let Stage::Live(live) = &mut self.stage {
            live.finish(&mut self.announcer);
        } else if self.announcer.timeline.is_none()
            && let Some(resume) =
                self.config.resume.take().filter(|resume| !resume.timeline.tracks.is_empty())
        {
            // An assignment in mode `finish`, or a publisher that never came back.
            self.announcer.timeline = Some(continuation::taken_up(&resume, self.config.epoch));
            self.announcer.snapshot();
        }
        if !matches!(self.stage, Stage::Ended) {
            self.stage = Stage::Ended;
            self.announcer.announce(caudal_livestream::feed::Event::End, None);
        }
    }

    /// A finished segment is in storage. Announces it and keeps it in the timeline.
    pub fn stored(&mut self, rendition: &RenditionName, msn: Msn) {
        let event = caudal_livestream::feed::Event::Stored { rendition: rendition.clone(), msn };
        self.announcer.announce(event, None);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.announcer.outputs.pop_front()
    }

    /// Everything announced, once the track set is frozen.
    pub fn timeline(&self) -> Option<&Timeline> {
        self.announcer.timeline.as_ref()
    }

    /// How the publisher's timestamps lie on the timeline, once media has come.
    pub fn clock(&self) -> Option<InputClock> {
        self.clock.as_ref()?.state()
    }

    /// Where a tag lies on the timeline; `None` when it is not wanted.
    fn place(&mut self, input: Input, rtmp_ms: u32, now: UnixMillis) -> Option<MediaTime> {
        let clock =
            self.clock.get_or_insert_with(|| SourceClock::new(SessionId::generate(), Generation::default()));
        let consumed = match &self.stage {
            Stage::Live(live) => live.consumed(input).map(MediaTime),
            // What an earlier worker consumed is sorted out by what it announced.
            Stage::Starting(_) if self.config.resume.is_some() => None,
            Stage::Starting(start) => start.consumed(input).map(MediaTime),
            Stage::Ended => return None,
        };
        match clock.place(input, rtmp_ms, consumed, now) {
            Placed::At(at) => return Some(at),
            Placed::Drop => return None,
            Placed::Jump => {}
        }
        let earliest = match &self.stage {
            Stage::Live(live) => live.media_end(),
            _ => self.config.resume.as_ref().map_or(0, continuation::media_end),
        };
        if !clock.rebase(rtmp_ms, MediaTime(earliest), now) {
            self.announcer.report(MediaReport::TooManyChanges);
            return None;
        }
        match &mut self.stage {
            Stage::Live(live) => live.break_run(DiscontinuityCause::Jump, &mut self.announcer),
            Stage::Starting(start) => start.restart(),
            Stage::Ended => {}
        }
        match clock.place(input, rtmp_ms, None, now) {
            Placed::At(at) => Some(at),
            Placed::Drop | Placed::Jump => None,
        }
    }

    fn try_start(&mut self, now: UnixMillis, force: bool) {
        let Stage::Starting(start) = &mut self.stage else { return };
        let Some(readiness) = start.ready(&self.config, now, force) else { return };
        let Some(clock) = self.clock.as_mut() else { return };
        self.announcer.anchor = clock.date(MediaTime(0));
        let start = std::mem::take(start.as_mut());
        match start.freeze(&self.config, &readiness, now, &mut self.announcer, clock) {
            Ok(live) => self.stage = Stage::Live(Box::new(live)),
            Err(error) => self.malformed(error.to_string()),
        }
    }

    fn refuse(&mut self, error: TagError) {
        let TagError::Unsupported(codec) = error else { return self.malformed(error.to_string()) };
        if self.refused.len() < MAX_REFUSED && !self.refused.contains(&codec) {
            self.refused.push(codec.clone());
            self.announcer.report(MediaReport::UnsupportedCodec { codec });
        }
    }

    fn malformed(&mut self, reason: String) {
        self.announcer.report(MediaReport::Malformed { reason });
    }
}

/// More different codecs than that is a joke, and each costs memory.
const MAX_REFUSED: usize = 16;
