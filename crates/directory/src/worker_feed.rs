//! Reading a worker's feed.

mod control;

use std::time::Duration;

use bytes::BytesMut;
use caudal_controller::FEED_SILENCE;
use caudal_livestream::feed::{self, Event, FeedError, Frame};
use caudal_livestream::timeline::TimelineGap;
use caudal_service::http_client::why_cut_off;
use reqwest::Response;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

pub use control::{ControlEvent, ControlFeed};

/// An open feed. Dropping it closes the connection.
#[derive(Debug)]
pub struct Feed {
    response: Response,
    // At most one frame beyond what is decoded: `feed::decode` refuses what is longer than its type may be.
    buffer: BytesMut,
    parts: Parts,
    silence: Duration,
    deadline: Instant,
    ended: bool,
    /// A frame type that this release does not know has come.
    skipping: bool,
}

/// Whether parts were asked for.
#[derive(Clone, Copy, Debug)]
enum Parts {
    Some,
    None,
}

/// Why a feed ended before its stream did. A new one begins with a new snapshot.
#[derive(Debug, Error)]
pub enum FeedLost {
    /// Not even a heartbeat.
    #[error("the feed was silent for {} s", FEED_SILENCE.as_secs())]
    Silent,
    /// The worker ended the connection in good order, without the `end` event. One that was killed breaks it.
    #[error("the feed was closed")]
    Closed,
    /// The connection broke.
    #[error("the feed broke: {0}")]
    Broken(String),
    /// What came is no feed.
    #[error(transparent)]
    Malformed(#[from] FeedError),
    /// What came does not fit what came before it.
    #[error(transparent)]
    Unfitting(#[from] TimelineGap),
    /// A part is not as long as it was announced.
    #[error("a part of {came} bytes was announced as one of {announced}")]
    OtherSize {
        /// Bytes, in the announcement.
        announced: u32,
        /// Bytes of the part itself.
        came: usize,
    },
}

impl FeedLost {
    /// Whether what came was wrong, rather than that no more came: a new feed of that worker may well be no better.
    pub fn is_unfit(&self) -> bool {
        match self {
            Self::Malformed(_) | Self::Unfitting(_) | Self::OtherSize { .. } => true,
            Self::Silent | Self::Closed | Self::Broken(_) => false,
        }
    }
}

impl Feed {
    pub(crate) fn new(response: Response) -> Self {
        Self::with_silence(response, FEED_SILENCE)
    }

    /// A feed that is lost after `silence` without a frame.
    pub(crate) fn with_silence(response: Response, silence: Duration) -> Self {
        let deadline = Instant::now() + silence;
        let (buffer, parts) = (BytesMut::new(), Parts::Some);
        Self { response, buffer, parts, silence, deadline, ended: false, skipping: false }
    }

    /// The same feed, of a worker that was asked for no parts.
    pub(crate) fn without_parts(self) -> Self {
        Self { parts: Parts::None, ..self }
    }

    /// The next frame of a type that this release knows; none once the worker said [`Event::End`] and closed. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// [`FeedLost`] when no whole frame comes within three seconds, or none can come any more.
    pub async fn next(&mut self) -> Result<Option<Frame>, FeedLost> {
        loop {
            let frame = match self.parts {
                Parts::Some => feed::decode(&mut self.buffer),
                Parts::None => feed::decode_without_parts(&mut self.buffer),
            };
            match frame {
                Ok(Some(frame)) => {
                    self.deadline = Instant::now() + self.silence;
                    self.ended |= matches!(frame, Frame::Event(Event::End));
                    return Ok(Some(frame));
                }
                Err(FeedError::UnknownType(kind)) => {
                    self.deadline = Instant::now() + self.silence;
                    self.skip(kind);
                    continue;
                }
                Ok(None) => {}
                Err(error) => return Err(error.into()),
            }
            match timeout_at(self.deadline, self.response.chunk()).await {
                Err(_) => return Err(FeedLost::Silent),
                Ok(Ok(Some(chunk))) => self.buffer.extend_from_slice(&chunk),
                Ok(Ok(None)) if self.ended => return Ok(None),
                Ok(Ok(None)) => return Err(FeedLost::Closed),
                Ok(Err(error)) => return Err(FeedLost::Broken(why_cut_off(&error))),
            }
        }
    }

    /// A worker of a newer release says more than this one understands, and lives.
    fn skip(&mut self, kind: u8) {
        if !std::mem::replace(&mut self.skipping, true) {
            tracing::warn!(
                kind,
                "a worker's feed has frames of a type that this release does not know: they are skipped"
            );
        }
    }
}
