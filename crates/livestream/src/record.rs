//! A broadcast as the directory holds it: `spec` and `status` of a `LiveStream`.
//!
//! Roles of this release and the one before it read the same records: fields that a reader does not know are skipped, and a
//! word that it does not know leaves the rest of the record readable.

mod relay_failures;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::admission::{Access, BroadcastHints, LadderRung, LatencyMode};
use crate::report::EndReason;
use crate::{Epoch, Generation, SessionId, StreamId, UnixMillis, WorkerId};

pub use relay_failures::RelayFailures;

/// Everything the parts need to know of one broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveStream {
    /// What is wanted. The router writes `ingest`, the api the rest.
    pub spec: Spec,
    /// What is. The controller writes all but `media`, which is the router's.
    pub status: Status,
}

impl LiveStream {
    /// Whether a publisher may still come.
    pub fn is_open(&self) -> bool {
        !self.status.phase.is_over() && self.spec.desired_state == DesiredState::Live
    }
}

/// What is wanted of a broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Its id.
    pub stream: StreamId,
    /// The streamer's username.
    pub channel: String,
    /// Its title.
    pub title: String,
    /// Who may watch.
    pub access: Access,
    /// The pool of workers that it is carried by; none where there is only one pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Renditions below the source.
    pub renditions: Vec<LadderRung>,
    /// Low-latency parts or not.
    pub latency_mode: LatencyMode,
    /// How long a lost publisher may take to come back, in milliseconds.
    pub reconnect_window_ms: u32,
    /// Keep everything after the live window.
    pub record: bool,
    /// What the channel's last broadcast was like.
    pub hints: Option<BroadcastHints>,
    /// Whether it is to go on.
    pub desired_state: DesiredState,
    /// Why it is to end, with [`DesiredState::Ended`].
    pub end_reason: Option<EndReason>,
    /// A publisher session to be dropped, by the router that owns it.
    pub drop: Option<DropPublisher>,
    /// True once the stream key no longer counts: a cached authorization is void.
    pub key_revoked: bool,
    /// Who publishes.
    pub ingest: Ingest,
}

/// Whether a broadcast is to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DesiredState {
    /// It is not.
    Ended,
    /// It is; and so it is when a newer release says something else than [`DesiredState::Ended`].
    #[default]
    #[serde(other)]
    Live,
}

/// An order to drop a publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropPublisher {
    /// Whom.
    pub session: SessionId,
    /// What the publisher is told.
    pub reason: String,
}

/// Who publishes a broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingest {
    /// The connection.
    pub session: SessionId,
    /// Its generation.
    pub generation: Generation,
    /// The router that holds it: base URL of its internal listener.
    pub router: String,
    /// SHA-256 of the key, in hex: lets a router recognise a returning publisher while the api is away.
    pub key_hash: String,
    /// How often the router could not relay to a worker; none while it always could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayFailures>,
    /// The router turned this session away for what it sends, and told it so in these words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What is known of a broadcast.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where it stands.
    pub phase: Phase,
    /// When the phase ends by itself, as an instant of the controller's clock.
    pub deadline: Option<UnixMillis>,
    /// The current worker's assignment.
    pub epoch: Epoch,
    /// The current worker.
    pub worker: Option<WorkerAddress>,
    /// The worker that a planned move goes to.
    pub next: Option<NextWorker>,
    /// Why there is no worker yet, in words for whoever runs the platform; none where there is one, or nobody knows why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_worker: Option<String>,
    /// True when two workers died soon after they had been given this publisher: the relay to this one begins
    /// without the replay, because something in it may be what they died of.
    #[serde(default)]
    pub without_replay: bool,
    /// What the router measured, as it was when something of it changed; [`crate::router_session`] has it as it is.
    pub media: Option<MediaInfo>,
    /// When the first segment could be watched.
    pub started_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// Why it ended or is being closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
    /// `end_reason` in words; before that, what the broadcast waits for.
    pub reason: Option<String>,
}

/// Where a broadcast stands (ARCHITECTURE §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Created; no worker yet.
    #[default]
    Pending,
    /// A worker is assigned; nothing to watch yet.
    Starting,
    /// It can be watched.
    Live,
    /// The publisher is away and may come back.
    Reconnecting,
    /// Being closed.
    Ending,
    /// Over.
    Ended,
    /// Over, and nobody wanted it to be.
    Failed,
    /// One that this release does not know. It is not over: viewers and publisher stay as they are.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// True once the broadcast takes no publisher any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Ending | Self::Ended | Self::Failed)
    }
}

/// Where a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerAddress {
    /// Who.
    pub worker: WorkerId,
    /// Its RTMP input.
    pub rtmp: SocketAddr,
    /// Its HTTP side.
    pub http: SocketAddr,
}

/// The worker of a planned move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextWorker {
    /// Where it is.
    pub address: WorkerAddress,
    /// The epoch it will claim.
    pub epoch: Epoch,
}

/// What the router measured of the publisher's media, over the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaInfo {
    /// Bits a second, video and audio. In a record it is a class: the bitrate is within 30 % of it.
    pub bitrate: u64,
    /// Frames a thousand seconds.
    pub fps_milli: u32,
    /// Milliseconds between the last two keyframes.
    pub keyframe_interval_ms: Option<u32>,
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// `H.264`, `HEVC`.
    pub video_codec: Option<String>,
    /// `AAC`.
    pub audio_codec: Option<String>,
    /// What the encoder calls itself.
    pub encoder: Option<String>,
    /// Whether composition times show reordered frames.
    pub b_frames: Option<bool>,
    /// Frames that the router dropped because the worker was slow.
    pub dropped_frames: u64,
    /// When the publisher connected.
    pub connected_at: Option<UnixMillis>,
}
