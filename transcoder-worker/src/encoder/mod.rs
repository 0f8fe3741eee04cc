//! ffmpeg, kept running: the rungs below the source.

mod child;
mod comeback;
mod frame_queue;
mod gop;
mod jpegs;
mod ladder;
mod pace;
mod recipe;
mod source_filter;
mod supervisor;

use bytes::Bytes;
use caudal_livestream::RenditionName;
use caudal_livestream::admission::LadderRung;
use caudal_media::codec::PictureFormat;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use ladder::LadderChoice;
pub(crate) use recipe::FLV_INPUT;
pub(crate) use source_filter::progressive_sdr;

use crate::ffmpeg::Ffmpeg;
use crate::metrics::Metrics;
use crate::poster::PosterOutlet;
use frame_queue::FrameQueue;
use supervisor::Supervisor;

/// A source frame, or a codec header, as FLV VIDEODATA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodeFrame {
    /// On the stream's timeline, which is as long as the broadcast.
    pub(crate) timestamp_ms: i64,
    pub(crate) body: Bytes,
    pub(crate) keyframe: bool,
    /// Set for a codec header: the format of the pictures that follow.
    pub(crate) sequence_header: Option<PictureFormat>,
}

/// What the encoder tells its session.
#[derive(Debug)]
pub(crate) enum EncoderEvent {
    /// A rung's video tag.
    Video { rung: RenditionName, timestamp_ms: i64, body: Bytes },
    /// What the rung still owes will not come.
    Failed(RenditionName),
    /// The rung is not made any more.
    Withdrawn(RenditionName),
    /// A rung that was withdrawn is made again.
    Returned(RenditionName),
    /// After [`EncoderHandle::drain`]: everything that was fed has come out.
    Drained,
}

/// The rungs of a stream.
#[derive(Debug)]
struct Rungs {
    made: Vec<LadderRung>,
    /// Rungs that an earlier worker withdrew: they are tried again.
    withdrawn: Vec<LadderRung>,
}

/// How the session feeds the encoder; it never waits.
pub(crate) struct EncoderHandle {
    /// A channel of its own, because a replay may have filled the frames'.
    rungs: mpsc::Sender<Rungs>,
    /// None once nothing more will be fed.
    frames: Option<FrameQueue>,
    ffmpeg: Ffmpeg,
}

impl EncoderHandle {
    /// Whether rungs can be made of a source with this codec header.
    pub(crate) fn reads(&self, header: &[u8]) -> bool {
        self.ffmpeg.reads(header)
    }

    /// The rungs to make, once the track set is frozen, and those that an earlier worker withdrew. Frames before that
    /// are kept.
    pub(crate) fn start(&self, made: Vec<LadderRung>, withdrawn: Vec<LadderRung>) {
        // The only one: the track set is frozen once.
        let _ = self.rungs.try_send(Rungs { made, withdrawn });
    }

    pub(crate) fn frame(&mut self, frame: EncodeFrame) {
        if let Some(frames) = &mut self.frames {
            frames.push(frame);
        }
    }

    /// No more frames; answered by [`EncoderEvent::Drained`].
    pub(crate) fn drain(&mut self) {
        self.frames = None;
    }
}

/// An encoder and the task that runs it until `stop`. It makes posters beside its rungs.
pub(crate) fn encoder(
    ffmpeg: Ffmpeg,
    metrics: Metrics,
    posters: PosterOutlet,
    events: mpsc::Sender<EncoderEvent>,
    stop: CancellationToken,
) -> (EncoderHandle, impl Future<Output = ()> + Send + 'static) {
    let (rungs, ordered) = mpsc::channel(1);
    let (frames, queued) = FrameQueue::new(FRAME_QUEUE);
    let supervisor = Supervisor::new(ffmpeg.clone(), metrics, posters, events);
    (EncoderHandle { rungs, frames: Some(frames), ffmpeg }, supervisor.run(ordered, queued, stop))
}

/// What the log says of a source for which [`EncoderHandle::reads`] is false.
pub(crate) const UNREADABLE: &str =
    "this ffmpeg does not decode the publisher's codec in FLV: the stream has its source rendition only";
/// A publisher's replay, which comes in one burst, and may be taken up before the supervisor has its next turn: of GOPs of
/// half a minute a minute, at 60 frames. Their bytes are the packager's.
const FRAME_QUEUE: usize = 4096;
