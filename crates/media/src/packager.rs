//! From a publisher's tags to parts, segments and the events that announce them.

mod continuation;
mod live;
mod pictures;
mod rung;
mod sound;
mod start;
mod unplayable;

use bytes::Bytes;
use caudal_livestream::admission::{BroadcastHints, LadderRung, LatencyMode};
use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::Event;
use caudal_livestream::state::InputClock;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{
    Epoch, Generation, InitHash, MediaDuration, MediaTime, Msn, RenditionName, SessionId, StreamId,
    UnixMillis,
};

use self::live::Live;
use self::pictures::{Picture, VideoSetup};
use self::sound::Sound;
use self::start::{Frozen, Start};
use self::unplayable::{Got, UnplayableWatch};
use crate::access_unit::AccessUnits;
use crate::announcer::Announcer;
use crate::codec::adts;
use crate::codec::{Colour, PictureFormat, VideoConfig};
use crate::field_pairs::FieldPairs;
use crate::flv::{AudioTag, TagError};
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
    /// Who announced what lies between the timeline and `floor`.
    pub beyond: Beyond,
}

/// Under whose names segments were announced that a timeline does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// The timeline's own epoch.
    SameEpoch,
    /// A later epoch was claimed and its state never filled: it may have been that one. Segments that are not listed are gaps.
    Unknown,
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
        /// The rendition that it initializes.
        rendition: RenditionName,
        /// Hash of the file's bytes.
        hash: InitHash,
        /// The file.
        data: Bytes,
    },
    /// Announce to feed readers. The packager's own timeline has it already.
    Announce {
        /// To all readers.
        event: Event,
        /// The bytes of an [`Event::Part`], and of an [`Event::Segment`] that was made without parts. Any other
        /// segment is its parts laid end to end.
        data: Option<Bytes>,
    },
    /// Source video for ffmpeg's standard input.
    Encode {
        /// Decode time on the stream's timeline, in milliseconds.
        timestamp_ms: i64,
        /// FLV VIDEODATA.
        body: Bytes,
        /// A place where a decoder can begin.
        keyframe: bool,
        /// Set for a codec header, which is no picture: the format of the pictures that follow.
        sequence_header: Option<PictureFormat>,
    },
    /// Worth a log line or a metric.
    Report(MediaReport),
    /// Nothing of what the publisher sends can be packaged, and that for long enough to give it up. What it sends, in
    /// words for the streamer: about 200 characters at most.
    Unplayable(String),
}

/// One stream's packager. Pure: time and bytes come in, [`Output`]s come out of [`Packager::poll`].
#[derive(Debug)]
pub struct Packager {
    config: PackagerConfig,
    announcer: Announcer,
    clock: Option<SourceClock>,
    stage: Stage,
    units: AccessUnits,
    fields: FieldPairs,
    /// The time of the connection's last tag with pictures.
    last_pictures_ms: Option<u32>,
    /// The publisher's last codec header.
    video: Option<VideoConfig>,
    /// What the publisher says of its samples beside that.
    colour: Option<Colour>,
    sound: Sound,
    /// The publisher that the codec headers are of.
    session: Option<SessionId>,
    /// What cannot be packaged, so that each is reported once in a connection.
    reported: Vec<MediaReport>,
    unplayable: UnplayableWatch,
    lost_at_seam: Option<MediaDuration>,
}

#[derive(Debug)]
enum Stage {
    /// Collecting what the track set and the headers are frozen from.
    Starting(Box<Start>),
    Live(Box<Live>),
    Ended,
}

impl Packager {
    /// Nothing is announced before the first media.
    pub fn new(config: PackagerConfig) -> Self {
        let mut announcer = Announcer::new(config.epoch);
        let clock = config.resume.as_ref().and_then(|resume| resume.clock).map(|clock| {
            announcer.anchor = clock.date_anchor;
            SourceClock::resume(clock)
        });
        Self {
            announcer,
            clock,
            config,
            stage: Stage::Starting(Box::default()),
            units: AccessUnits::default(),
            fields: FieldPairs::default(),
            last_pictures_ms: None,
            video: None,
            colour: None,
            sound: Sound::Unknown,
            session: None,
            reported: Vec::new(),
            unplayable: UnplayableWatch::default(),
            lost_at_seam: None,
        }
    }

    /// A relay connection begins: the duplicate filter of ARCHITECTURE §3.5 is on until the first new tag.
    pub fn publisher(&mut self, session: SessionId, generation: Generation) {
        self.clock.get_or_insert_with(|| SourceClock::new(session, generation)).connect(session, generation);
        self.reported.clear();
        self.units.connected();
        self.fields.connected();
        self.last_pictures_ms = None;
        if self.session.replace(session).is_some_and(|before| before != session) {
            // Another publisher's media is not what the last one's headers say.
            self.sound = Sound::Unknown;
            self.units = AccessUnits::default();
            self.unplayable = UnplayableWatch::default();
            self.fields = FieldPairs::default();
            (self.video, self.colour) = (None, None);
            if let Stage::Starting(start) = &mut self.stage {
                **start = Start::default();
            }
        }
        if let Stage::Live(live) = &mut self.stage {
            live.connected();
            live.take_packaged();
        }
    }

    /// The encoder's description of its stream.
    pub fn metadata(&mut self, metadata: &SourceMetadata) {
        if let Stage::Starting(start) = &mut self.stage {
            start.metadata = Some(metadata.clone());
        }
    }

    /// An FLV AUDIODATA body, as RTMP message type 8 carries it.
    #[expect(clippy::needless_pass_by_value, reason = "a tag is handed over, as to `video`")]
    pub fn audio(&mut self, rtmp_ms: u32, body: Bytes, now: UnixMillis) {
        self.unplayable.heard(now);
        match AudioTag::parse(&body) {
            Err(error) => {
                self.unplayable.sound(Got::Refused, Some(error.to_string()));
                self.refuse(error);
            }
            Ok(AudioTag::Nothing) => self.unplayable.sound(Got::Empty, None),
            Ok(AudioTag::SequenceHeader { record, .. }) => self.audio_header(&record, now),
            Ok(AudioTag::Frame { data, .. }) => match adts::frames(&data) {
                Ok(None) => self.sound(rtmp_ms, data, now),
                Ok(Some(frames)) => self.adts_frames(rtmp_ms, frames, now),
                Err(error) => {
                    self.unplayable.sound(Got::Broken, Some(error.to_string()));
                    self.malformed(error.to_string());
                }
            },
        }
    }

    /// No rung can be made of this publisher's video: the track set, while it is not frozen, gets none.
    pub fn without_rungs(&mut self) {
        self.config.ladder.clear();
    }

    /// A video tag of ffmpeg's FLV output for one rung, at this many milliseconds of the stream's timeline.
    #[expect(clippy::needless_pass_by_value, reason = "a tag is handed over, as to `video` and `audio`")]
    pub fn rung_video(&mut self, rendition: &RenditionName, timestamp_ms: i64, body: Bytes) {
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
            if live.take_packaged() {
                self.unplayable.packaged();
            }
        }
        if let Some(words) = self.unplayable.verdict() {
            self.announcer.outputs.push_back(Output::Unplayable(words));
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
            self.announcer.announce(Event::End, None);
        }
    }

    /// A finished segment is in storage. Announces it and keeps it in the timeline.
    pub fn stored(&mut self, rendition: &RenditionName, msn: Msn) {
        let event = Event::Stored { rendition: rendition.clone(), msn };
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

    /// Whether segments that an earlier epoch announced are still being rebuilt. The timeline lacks them meanwhile: the earlier
    /// epoch's state is the better one to resume from.
    pub fn is_rebuilding(&self) -> bool {
        matches!(&self.stage, Stage::Live(live) if live.is_rebuilding())
    }

    /// How much of the publisher's media is missing between what an earlier epoch stored and what this one begins with, in the
    /// leading rendition. Known once the track set is frozen, if the publisher is the one that it was.
    pub fn lost_at_seam(&self) -> Option<MediaDuration> {
        self.lost_at_seam
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
            Placed::TooFast => {
                self.announcer.report(MediaReport::TooFast);
                return None;
            }
            Placed::Jump => {}
        }
        let anew = clock.begins_anew();
        let earliest = match &self.stage {
            Stage::Live(live) => live.media_end(),
            _ => self.config.resume.as_ref().map_or(0, continuation::media_end),
        };
        let starts = matches!(self.stage, Stage::Starting(_));
        if starts && clock.was_announced(input, rtmp_ms, MediaTime(earliest), now) {
            return None;
        }
        if !clock.rebase(input, rtmp_ms, MediaTime(earliest), now) {
            self.announcer.report(MediaReport::TooManyChanges);
            self.unplayable.changes_refused();
            return None;
        }
        match &mut self.stage {
            Stage::Live(live) => {
                live.break_run(DiscontinuityCause::Jump, &mut self.announcer);
                if anew {
                    live.wait_for_keyframe();
                }
            }
            Stage::Starting(start) => start.restart(),
            Stage::Ended => {}
        }
        match clock.place(input, rtmp_ms, None, now) {
            Placed::At(at) => Some(at),
            Placed::Drop | Placed::TooFast | Placed::Jump => None,
        }
    }

    fn try_start(&mut self, now: UnixMillis, force: bool) {
        let Stage::Starting(start) = &mut self.stage else { return };
        let Some(clock) = self.clock.as_mut() else { return };
        // A broadcast's first worker does not wait: viewers do.
        let succeeds = self.config.epoch > FIRST_EPOCH;
        if succeeds && !force && clock.may_replay(now) && start.has_room() {
            return;
        }
        let Some(readiness) = start.ready(&self.config, now, force) else { return };
        let inits = match start.inits(&self.config) {
            Ok(inits) => inits,
            // What was kept stays: another codec header may come.
            Err(error) => {
                self.unplayable.sound(Got::Unwritable, Some(error.to_string()));
                return self.malformed(error.to_string());
            }
        };
        if succeeds {
            let earliest = self.config.resume.as_ref().map_or(0, continuation::media_end);
            let room = (start.begins().unwrap_or(earliest) - earliest) / 1000;
            start.lie_earlier(clock.begin_earlier(room));
        }
        self.announcer.anchor = clock.date(MediaTime(0));
        let mut start = std::mem::take(start.as_mut());
        start.captions = self.units.captions().to_vec();
        let frozen = start.freeze(&self.config, &readiness, inits, now, &mut self.announcer, clock);
        let Frozen { live, lost } = frozen;
        let before = self.config.resume.as_ref().and_then(|resume| resume.clock);
        self.lost_at_seam = lost.filter(|_| before.map(|clock| clock.session) == self.session);
        self.stage = Stage::Live(Box::new(live));
    }

    fn refuse(&mut self, error: TagError) {
        let words = error.to_string();
        self.report_once(match error {
            TagError::Unsupported(codec) => MediaReport::UnsupportedCodec { codec },
            TagError::OtherTrack(_) => MediaReport::UnsupportedCodec { codec: words },
            TagError::Truncated => MediaReport::Malformed { reason: words },
        });
    }

    fn malformed(&mut self, reason: String) {
        self.report_once(MediaReport::Malformed { reason });
    }

    /// A publisher that makes a mistake makes it with each tag.
    fn report_once(&mut self, report: MediaReport) {
        if self.reported.len() < MAX_REPORTED && !self.reported.contains(&report) {
            self.reported.push(report.clone());
            self.announcer.report(report);
        }
    }
}

/// A broadcast's first worker has nobody to go on for.
const FIRST_EPOCH: Epoch = Epoch(1);
/// Bounds the memory that a publisher's mistakes take.
const MAX_REPORTED: usize = 16;
