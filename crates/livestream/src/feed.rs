//! The worker's feed, `GET /feed?renditions=a,b|none` or `GET /feed?events=control`: one long response of frames.
//!
//! A frame is `u32` length (big endian, of what follows), `u8` type, then JSON or bytes. The first is a snapshot;
//! it may come again whenever the set of renditions changes. After a `part` of a rendition that was asked for, a
//! `bytes` frame with the part itself follows at once.
//!
//! What a frame may be long depends on its type: only `bytes` are as long as media is. The readers are the roles that serve
//! everybody, and the worker has to do with what strangers send.
//!
//! A control feed is the controller's: `floor`, `reached`, `input`, `end` and `heartbeat`, and nothing of what each
//! rendition announces. It begins with the present floor, if anything was announced, and the input.

mod floor_steps;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::assignment::Floor;
use crate::timeline::{Part, Segment, Timeline};
use crate::{Generation, Msn, RenditionName, SessionId};

pub use floor_steps::FloorSteps;

/// What a worker announces.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Everything as it stands.
    Snapshot(Box<Timeline>),
    /// A part of an open segment.
    Part(PartAnnounced),
    /// A segment is whole (its last part was announced just before), or is a gap.
    Segment(SegmentAnnounced),
    /// A finished segment is in storage.
    Stored {
        /// The rendition it belongs to.
        rendition: RenditionName,
        /// Its media sequence number.
        msn: Msn,
    },
    /// A rendition has left the stream for good.
    Withdrawn {
        /// The rendition that left.
        rendition: RenditionName,
    },
    /// The publisher's side of the worker changed.
    Input(InputState),
    /// Nothing will follow.
    End,
    /// A second has passed.
    Heartbeat,
    /// Of control feeds alone, a step: the stream's first part, or a segment that is whole and no gap. Where everything
    /// that was announced ends.
    Floor(Floor),
    /// Of control feeds alone: parts were announced since the last step, up to here. No step, but what a worker that dies
    /// now has announced.
    Reached(Floor),
}

/// A new part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartAnnounced {
    /// The rendition that it belongs to.
    pub rendition: RenditionName,
    /// The segment it belongs to.
    pub msn: Msn,
    /// The part.
    pub part: Part,
    /// The segment as it stood before this part, when this is its first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opens: Option<Box<Segment>>,
}

/// A whole segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentAnnounced {
    /// The rendition that it belongs to.
    pub rendition: RenditionName,
    /// The segment, with all its parts.
    pub segment: Segment,
    /// Segments before this one have left the live window.
    pub window_start: Msn,
    /// The rendition's highest segment bit rate so far.
    pub peak_bandwidth: u32,
    /// The rendition's average bit rate so far.
    pub average_bandwidth: u32,
}

/// What a worker knows of its publisher (`GET /input`, and the feed).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputState {
    /// The publisher's session, once there was one.
    pub session: Option<SessionId>,
    /// Its generation.
    pub generation: Generation,
    /// True while it is connected.
    pub up: bool,
    /// When not up: whether it said good-bye (FCUnpublish, deleteStream).
    pub explicit: bool,
    /// Milliseconds since the last media of it, when this was written.
    pub silent_ms: Option<u64>,
    /// While it is up: nothing of what it sends can be packaged, and has not been for long enough to give up. What it
    /// sends, in words for the streamer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unplayable: Option<String>,
    /// When not up: the router has moved the publisher to the next worker, and this one is closing what it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
    /// The worker was told to go. It serves on until another one has the stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// Milliseconds of the publisher's media that are missing where the worker went on for another: of the source, or of the
    /// sound where that is alone. None before that is known, at a stream's first worker, and behind another publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seam_lost_ms: Option<u64>,
}

/// One frame of the feed, as read.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// An announcement.
    Event(Event),
    /// The bytes of the part announced just before.
    Bytes(Bytes),
}

/// Why there is no frame.
#[derive(Debug, Error)]
pub enum FeedError {
    /// A frame says that it is longer than any of its type may be.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// What it says.
        length: usize,
        /// The most for its type.
        limit: usize,
    },
    /// A frame without even a type.
    #[error("a frame of no bytes")]
    Empty,
    /// A type that this release does not know. Such a frame has been taken off the buffer: reading goes on behind it.
    #[error("unknown frame type {0}")]
    UnknownType(u8),
    /// The JSON is not of the type's shape.
    #[error("frame type {kind}: {source}")]
    Json {
        /// The frame's type.
        kind: u8,
        /// What was wrong with it.
        source: serde_json::Error,
    },
}

impl Event {
    /// The frame of this event, ready to be written.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Snapshot(timeline) => json_frame(SNAPSHOT, timeline),
            Self::Part(part) => json_frame(PART, part),
            Self::Segment(segment) => json_frame(SEGMENT, segment),
            Self::Stored { rendition, msn } => {
                json_frame(STORED, &StoredBody { rendition: rendition.clone(), msn: *msn })
            }
            Self::Withdrawn { rendition } => {
                json_frame(WITHDRAWN, &WithdrawnBody { rendition: rendition.clone() })
            }
            Self::Input(input) => json_frame(INPUT, input),
            Self::End => bare_frame(END),
            Self::Heartbeat => bare_frame(HEARTBEAT),
            Self::Floor(floor) => json_frame(FLOOR, floor),
            Self::Reached(floor) => json_frame(REACHED, floor),
        }
    }
}

/// The head of a `bytes` frame of that length; the part's own bytes follow it unchanged, so they need no copy.
///
/// # Errors
/// [`FeedError::TooLong`] when no frame may be that long.
pub fn bytes_frame_head(length: usize) -> Result<Bytes, FeedError> {
    let body = length.saturating_add(1);
    let too_long = || FeedError::TooLong { length: body, limit: MAX_FRAME };
    if body > MAX_FRAME {
        return Err(too_long());
    }
    let mut head = BytesMut::with_capacity(5);
    head.put_u32(u32::try_from(body).map_err(|_| too_long())?);
    head.put_u8(BYTES);
    Ok(head.freeze())
}

/// Takes one frame off the front of `buffer`; `None` while it is not whole.
///
/// # Errors
/// [`FeedError::UnknownType`] for a frame that is to be skipped. With any other [`FeedError`] what is there can never become
/// a frame, and the connection is of no more use.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FeedError> {
    decode_within(buffer, MAX_FRAME)
}

/// The same of a feed that was asked for without any parts, such as a control feed.
///
/// # Errors
/// As [`decode`].
pub fn decode_without_parts(buffer: &mut BytesMut) -> Result<Option<Frame>, FeedError> {
    decode_within(buffer, MAX_SMALL)
}

/// `longest_part`: the most for the frames that carry parts.
fn decode_within(buffer: &mut BytesMut, longest_part: usize) -> Result<Option<Frame>, FeedError> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    let limit = match buffer.get(4).copied() {
        None => MAX_FRAME,
        Some(BYTES) => longest_part,
        Some(STORED | WITHDRAWN | INPUT | END | HEARTBEAT | FLOOR | REACHED) => MAX_SMALL,
        // And whatever a later release says: a reader of this one only skips it.
        Some(_) => MAX_TIMELINE,
    };
    if length > limit {
        return Err(FeedError::TooLong { length, limit });
    }
    if length == 0 {
        return Err(FeedError::Empty);
    }
    if buffer.len() < length.saturating_add(4) {
        return Ok(None);
    }
    buffer.advance(4);
    let mut body = buffer.split_to(length);
    let kind = body.get_u8();
    let body = body.freeze();
    let event = match kind {
        // A slice would keep all of the buffer for as long as somebody keeps the part.
        BYTES => return Ok(Some(Frame::Bytes(Bytes::copy_from_slice(&body)))),
        SNAPSHOT => Event::Snapshot(parse(kind, &body)?),
        PART => Event::Part(parse(kind, &body)?),
        SEGMENT => Event::Segment(parse(kind, &body)?),
        STORED => {
            let StoredBody { rendition, msn } = parse(kind, &body)?;
            Event::Stored { rendition, msn }
        }
        WITHDRAWN => {
            let WithdrawnBody { rendition } = parse(kind, &body)?;
            Event::Withdrawn { rendition }
        }
        INPUT => Event::Input(parse(kind, &body)?),
        END => Event::End,
        HEARTBEAT => Event::Heartbeat,
        FLOOR => Event::Floor(parse(kind, &body)?),
        REACHED => Event::Reached(parse(kind, &body)?),
        unknown => return Err(FeedError::UnknownType(unknown)),
    };
    Ok(Some(Frame::Event(event)))
}

#[derive(Serialize, Deserialize)]
struct StoredBody {
    rendition: RenditionName,
    msn: Msn,
}

#[derive(Serialize, Deserialize)]
struct WithdrawnBody {
    rendition: RenditionName,
}

fn parse<'a, T: Deserialize<'a>>(kind: u8, body: &'a [u8]) -> Result<T, FeedError> {
    serde_json::from_slice(body).map_err(|source| FeedError::Json { kind, source })
}

fn json_frame<T: Serialize>(kind: u8, value: &T) -> Bytes {
    // These types have string keys and no fallible serializers, so this cannot fail; an empty object would be
    // refused by the reader, who then asks for a snapshot.
    let json = serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec());
    let mut frame = BytesMut::with_capacity(json.len().saturating_add(5));
    frame.put_u32(u32::try_from(json.len().saturating_add(1)).unwrap_or(u32::MAX));
    frame.put_u8(kind);
    frame.put_slice(&json);
    frame.freeze()
}

fn bare_frame(kind: u8) -> Bytes {
    let mut frame = BytesMut::with_capacity(5);
    frame.put_u32(1);
    frame.put_u8(kind);
    frame.freeze()
}

/// The longest frame: a part of 2 s at 50 Mb/s is 12.5 MB, so this leaves room and still bounds a reader's memory.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;
/// The longest JSON with segments in it. The longest live window is a snapshot's: 8 renditions over 60 s and the open segment,
/// in segments of at least half a second (but for 36 discontinuities a minute) and parts of at least 0.1 s on average. That is
/// 8 × (180 segments of 400 bytes + 800 parts of 90 bytes), 1.2 MB; usually it is 0.1.
pub const MAX_TIMELINE: usize = 2 * 1024 * 1024;
/// All other JSON: names, numbers, and some words for the streamer.
const MAX_SMALL: usize = 64 * 1024;

const SNAPSHOT: u8 = 1;
const PART: u8 = 2;
const SEGMENT: u8 = 3;
const STORED: u8 = 4;
const WITHDRAWN: u8 = 5;
const INPUT: u8 = 6;
const END: u8 = 7;
const HEARTBEAT: u8 = 8;
const BYTES: u8 = 9;
const FLOOR: u8 = 10;
const REACHED: u8 = 11;
