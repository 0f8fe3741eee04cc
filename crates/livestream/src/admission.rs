//! The api's word on a publisher, `POST /internal/ingest/authorize`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

use crate::{RenditionName, SessionId, StreamId};

/// A stream key as a publisher typed it. A secret wherever it appears: it has no `Display`, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamKey(String);

impl StreamKey {
    /// How each key begins, which tells a leaked key from other text, for people and for scanners.
    pub const PREFIX: &str = "live_";
    /// 190 bits.
    pub const RANDOM_CHARACTERS: usize = 32;

    /// From what the publisher sent.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// Whether it looks like one that the api makes: [`PREFIX`](Self::PREFIX) and then
    /// [`RANDOM_CHARACTERS`](Self::RANDOM_CHARACTERS) letters and digits.
    pub fn is_well_formed(&self) -> bool {
        self.0.strip_prefix(Self::PREFIX).is_some_and(|random| {
            random.len() == Self::RANDOM_CHARACTERS && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    }

    /// The key itself; for hashing and for the one request that carries it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The router's question.
///
/// Its `Debug` leaves out the app, which may be a key in the wrong place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizeRequest {
    /// The publisher's key.
    pub key: StreamKey,
    /// The RTMP application, `live` by custom.
    pub app: String,
    /// The publisher's address, where it is known to be real.
    pub remote: Option<IpAddr>,
    /// This connection.
    pub session: SessionId,
    /// A stream that the last answer named and that the directory calls `Ending` or later: the api closes its row
    /// and answers with a new one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<StreamId>,
}

impl fmt::Debug for AuthorizeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, app: _, remote, session, ended } = self;
        f.debug_struct("AuthorizeRequest")
            .field("key", key)
            .field("remote", remote)
            .field("session", session)
            .field("ended", ended)
            .finish_non_exhaustive()
    }
}

/// `200`: publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorized {
    /// The broadcast. The same while its row is open.
    pub stream: StreamId,
    /// The channel's name (the streamer's username).
    pub channel: String,
    /// The broadcast's title.
    pub title: String,
    /// Who may watch.
    pub access: Access,
    /// Keep everything after the live window.
    pub record: bool,
    /// Low-latency parts or not.
    pub latency_mode: LatencyMode,
    /// The pool of workers that is to carry it; none where there is only one pool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// Renditions below the source.
    pub ladder: Vec<LadderRung>,
    /// What a second publisher on the same key means.
    pub policy: SecondPublisher,
    /// What the channel's last broadcast was like.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hints: Option<BroadcastHints>,
}

/// `403`: do not publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denied {
    /// Why, for a program.
    pub code: DenialCode,
    /// Why, for the streamer.
    pub message: String,
}

/// Why a publisher is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialCode {
    /// No account has this key.
    UnknownKey,
    /// The account may not stream.
    Banned,
    /// The stream was just ended by its owner; the key is held for a moment so that an encoder's automatic return
    /// does not bring it back.
    Held,
}

/// Who may watch a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Anyone.
    #[default]
    Public,
    /// Holders of a playback token. What a newer release says instead is not for anyone either.
    #[serde(other)]
    Premium,
}

/// How low the latency is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyMode {
    /// Parts near 0.2 s.
    #[default]
    Low,
    /// Parts near 1 s: fewer requests. The one that costs less, where a newer release says something else.
    #[serde(other)]
    Standard,
}

/// What happens to a second publisher on a key that is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondPublisher {
    /// It is refused while the first one sends media.
    #[default]
    Reject,
    /// It wins.
    Takeover,
}

/// A rendition that ffmpeg makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LadderRung {
    /// Its name, by custom the height: `720p`.
    pub name: RenditionName,
    /// Pixels down; the width follows the source's shape.
    pub height: u32,
    /// Bits a second.
    pub bitrate: u32,
}

/// What a channel's last broadcast was like: lets the next one freeze its playlist headers at the first part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BroadcastHints {
    /// The longest distance between keyframes.
    pub keyframe_ms: u32,
    /// The longest video frame.
    pub max_frame_ms: u32,
    /// Frames a thousand seconds.
    pub fps_milli: u32,
}
