//! From a publisher's tags to parts, segments and the events that announce them.

use std::collections::VecDeque;

use bytes::Bytes;
use caudal_livestream::admission::{BroadcastHints, LadderRung, LatencyMode};
use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::Event;
use caudal_livestream::state::InputClock;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Epoch, Generation, InitHash, RenditionName, SessionId, StreamId, UnixMillis};

use crate::report::MediaReport;

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
    /// The highest filled state's timeline.
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
        /// Whose.
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
        /// The part's bytes, for [`Event::Part`] alone. A segment is its parts laid end to end.
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
    outputs: VecDeque<Output>,
    timeline: Option<Timeline>,
}

impl Packager {
    /// Nothing is announced before the first media.
    pub fn new(config: PackagerConfig) -> Self {
        Self { config, outputs: VecDeque::new(), timeline: None }
    }

    /// A relay connection begins: the duplicate filter of ARCHITECTURE §3.5 is on until the first new tag.
    pub fn publisher(&mut self, session: SessionId, generation: Generation) {
        let _ = (&self.config, session, generation);
    }

    /// The encoder's description of its stream.
    pub fn metadata(&mut self, metadata: &SourceMetadata) {
        let _ = metadata;
    }

    /// An FLV VIDEODATA body, as RTMP message type 9 carries it.
    pub fn video(&mut self, rtmp_ms: u32, body: Bytes, now: UnixMillis) {
        let _ = (rtmp_ms, body, now);
    }

    /// An FLV AUDIODATA body, as RTMP message type 8 carries it.
    pub fn audio(&mut self, rtmp_ms: u32, body: Bytes, now: UnixMillis) {
        let _ = (rtmp_ms, body, now);
    }

    /// A video tag of ffmpeg's FLV output for one rung, on the stream's timeline.
    pub fn rung_video(&mut self, rendition: &RenditionName, timestamp_ms: u32, body: Bytes) {
        let _ = (rendition, timestamp_ms, body);
    }

    /// The rung's encoder is gone and what it still owed will not come; a later one may go on.
    pub fn rung_failed(&mut self, rendition: &RenditionName) {
        let _ = rendition;
    }

    /// The rendition leaves the stream for good.
    pub fn withdraw(&mut self, rendition: &RenditionName) {
        let _ = rendition;
    }

    /// The relay connection ended, for whatever reason.
    pub fn publisher_lost(&mut self, now: UnixMillis) {
        let _ = now;
    }

    /// Time passes: closes what is late. Call it about every 50 ms while live; never when packaging offline.
    pub fn tick(&mut self, now: UnixMillis) {
        let _ = now;
    }

    /// The broadcast is over: closes everything and announces the end.
    pub fn finish(&mut self, now: UnixMillis) {
        let _ = now;
    }

    /// A finished segment is in storage. Announces it and keeps it in the timeline.
    pub fn stored(&mut self, rendition: &RenditionName, msn: caudal_livestream::Msn) {
        let _ = (rendition, msn);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Everything announced, once the track set is frozen.
    pub fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    /// How the publisher's timestamps lie on the timeline, once media has come.
    pub fn clock(&self) -> Option<InputClock> {
        None
    }
}
