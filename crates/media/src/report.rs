//! What happened to a publisher's media that somebody should hear of.

use caudal_livestream::{MediaDuration, MediaTime, Msn, RenditionName};
use thiserror::Error;

/// One remark; its `Display` is the log line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MediaReport {
    /// The keyframe interval does not fit the frozen target duration, so a segment begins without a keyframe.
    #[error("keyframes are more than {target_seconds} s apart: segment {msn} begins without one")]
    GopTooLong {
        /// The segment that begins without a keyframe.
        msn: Msn,
        /// `EXT-X-TARGETDURATION`.
        target_seconds: u32,
    },
    /// A codec that cannot be packaged.
    #[error("{codec} cannot be packaged")]
    UnsupportedCodec {
        /// Its name or `FourCC`.
        codec: String,
    },
    /// A tag or codec header that is not what it says; it was dropped.
    #[error("dropped: {reason}")]
    Malformed {
        /// What was wrong.
        reason: String,
    },
    /// A discontinuity, on every rendition.
    #[error("discontinuity at segment {msn}: {cause}")]
    Discontinuity {
        /// The first segment behind it.
        msn: Msn,
        /// Why.
        cause: DiscontinuityCause,
    },
    /// More discontinuities or codec headers than a publisher may make; its media is dropped until it is calm.
    #[error("dropped: more timestamp jumps or codec changes than are allowed")]
    TooManyChanges,
    /// Media runs so far ahead of the wall clock that its dates would lie; it is dropped until the clock has caught up.
    #[error("dropped: media comes faster than it plays")]
    TooFast,
    /// Pictures are missing; `EXT-X-GAP` says so.
    #[error("no video for {:.1} s", length.as_secs_f64())]
    VideoGap {
        /// Where they end.
        from: MediaTime,
        /// For how long.
        length: MediaDuration,
    },
    /// Sound is missing; silence was put there.
    #[error("no audio for {:.1} s: silence", length.as_secs_f64())]
    Silence {
        /// Where it ends.
        from: MediaTime,
        /// For how long.
        length: MediaDuration,
    },
    /// Pictures whose timestamps do not go on cannot be put in an order; they are dropped.
    #[error("dropped: pictures with timestamps that stand still")]
    StandingStill,
    /// Sound came after silence had been put in its place, or before the stream began; it was dropped.
    #[error("audio came too late and was dropped")]
    LateAudio,
    /// A rung has nothing for a segment.
    #[error("{rendition} has nothing for segment {msn}")]
    RungGap {
        /// Which rung.
        rendition: RenditionName,
        /// Which segment.
        msn: Msn,
    },
    /// A rung that was withdrawn has enough segments again, and is back in the master playlist.
    #[error("{rendition} is back")]
    RungReturned {
        /// Which rung.
        rendition: RenditionName,
    },
}

/// Why there is a discontinuity.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DiscontinuityCause {
    /// The publisher's timestamps jumped, or another session's began.
    #[error("timestamps jumped")]
    Jump,
    /// The video's codec header changed.
    #[error("the video's configuration changed")]
    VideoHeader,
    /// The audio's codec header changed.
    #[error("the audio's configuration changed")]
    AudioHeader,
}
