//! `LiveStream`: one broadcast (ARCHITECTURE §4 "Ownership of a LiveStream").

mod conditions;
mod from_record;
mod reading;
mod shown;
mod status;
mod words;

use caudal_livestream::admission::{Access, LatencyMode};
use caudal_livestream::record::DesiredState;
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, Generation, RenditionName, SessionId, StreamId};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::core::Duration;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use conditions::{PAUSED, PUBLISHING, READY, WORKER_ASSIGNED, reasons};
pub use from_record::Incomplete;
pub use shown::{Place, Seen};
pub use status::{
    LiveStreamStatus, Media, NextWorker, STORED_VERSION, StoredLifecycle, UnreadableLifecycle, Worker,
};
use words::duration;
pub(crate) use words::schemas;

/// One broadcast: from the moment its publisher is let in until its end is known everywhere. Its name is `s-` and the stream's
/// id. The ingest router creates it, the operator gives it a transcoder worker, and viewers find it at the edge by its id. To end
/// a broadcast, set `spec.desiredState` to `Ended`, or delete it: both close the recording and the playlists in order.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "caudal.dev",
    version = "v1alpha1",
    kind = "LiveStream",
    plural = "livestreams",
    singular = "livestream",
    shortname = "lst",
    category = "caudal",
    namespaced,
    status = "LiveStreamStatus",
    derive = "PartialEq",
    doc = "One broadcast: from the moment its publisher is let in until its end is known everywhere. Its name is `s-` and the \
           stream's id. To end a broadcast, set `spec.desiredState` to `Ended`, or delete it: both close its playlists in order.",
    selectable = ".spec.channel",
    selectable = ".spec.pool",
    selectable = ".spec.desiredState",
    selectable = ".status.phase",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Channel", type_ = "string", json_path = ".spec.channel"),
    printcolumn(name = "Worker", type_ = "string", json_path = ".status.worker.pod"),
    printcolumn(name = "Paused", type_ = "string", json_path = r".metadata.annotations.caudal\.dev/paused"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.worker.node", priority = 1),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch", priority = 1),
    printcolumn(name = "Video", type_ = "string", json_path = ".status.media.videoCodec", priority = 1),
    printcolumn(name = "Bitrate", type_ = "integer", json_path = ".status.media.bitrate", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    validation = Rule::new("self.metadata.name == 's-' + self.spec.stream")
        .message("a LiveStream is named after its stream: s- and the stream's id")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.stream == oldSelf.stream").message("a LiveStream is one broadcast for good"),
    validation = Rule::new("!has(oldSelf.channel) || has(self.channel) && self.channel == oldSelf.channel")
        .message("a broadcast stays on its channel"),
    validation = Rule::new("self.pool == oldSelf.pool && self.renditions == oldSelf.renditions && self.latencyMode == oldSelf.latencyMode")
        .message("a broadcast keeps the pool, renditions and latencyMode that it began with"),
    // By its length: whoever writes the whole resource may say `60s` of what was created as `1m`.
    validation = Rule::new("duration(self.reconnectWindow) == duration(oldSelf.reconnectWindow)")
        .message("a broadcast keeps the reconnectWindow that it began with"),
    validation = Rule::new("oldSelf.desiredState != 'Ended' || self.desiredState == 'Ended'")
        .message("an ended broadcast cannot be revived; the publisher begins a new one"),
    validation = Rule::new("!oldSelf.keyRevoked || self.keyRevoked").message("a revoked key stays revoked"),
    validation = Rule::new("self.desiredState == 'Ended' || has(self.channel) && has(self.ingest)")
        .message("a live broadcast needs a channel and an ingest"),
    validation = Rule::new("!has(oldSelf.ingest) || has(self.ingest) && self.ingest.generation >= oldSelf.ingest.generation")
        .message("an earlier publisher cannot become the publisher again: generation must not decrease")
)]
pub struct LiveStreamSpec {
    /// The broadcast's id, a UUID: its row in the api, its prefix in storage, and its name in the viewers' addresses. Immutable.
    #[schemars(schema_with = "schemas::uuid")]
    pub stream: StreamId,

    /// The streamer's username. Immutable. Left out only for a broadcast that was ended before a router created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub channel: Option<String>,

    /// What the broadcast is called, as viewers read it.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub title: String,

    /// Who may watch: `public` is anyone, `premium` is holders of a playback token.
    #[serde(default)]
    #[schemars(schema_with = "schemas::access")]
    pub access: Access,

    /// The WorkerPool that its workers come from. Immutable.
    #[serde(default = "default_pool")]
    #[schemars(length(min = 1, max = 40))]
    pub pool: String,

    /// The qualities that are made below the source, which is always there as it comes. Immutable.
    #[serde(default)]
    #[schemars(length(max = 6))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub renditions: Vec<Rung>,

    /// `low` offers parts of 0.2 s, so that viewers are about a second behind. `standard` offers parts of a second, which costs
    /// fewer requests. Immutable.
    #[serde(default)]
    #[schemars(schema_with = "schemas::latency_mode")]
    pub latency_mode: LatencyMode,

    /// How long a lost publisher may take to come back and go on with the same broadcast, as in `30s` or `2m`; at most `24h`. A
    /// publisher that says good-bye is waited for 5 s at most. Immutable.
    #[serde(default = "default_window")]
    #[schemars(with = "String", length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('0s') && duration(self) <= duration('24h')")
        .message("expected a duration from 0s to 24h, as in 30s"))]
    pub reconnect_window: Duration,

    /// Keep everything after the end, for playback on demand. Otherwise the media goes ten minutes after the end.
    #[serde(default)]
    pub record: bool,

    /// What the channel's last broadcast was like, so that this one can announce its playlists at the first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Hints>,

    /// How long this resource stays for people to read once the broadcast is over and the api knows it, in seconds.
    #[serde(default = "default_ttl")]
    #[schemars(with = "i64", range(min = 0, max = 2_592_000))]
    pub ttl_seconds_after_ended: u32,

    /// `Live` goes on for as long as there is a publisher; `Ended` ends the broadcast, for good.
    #[serde(default)]
    #[schemars(schema_with = "schemas::desired_state")]
    pub desired_state: DesiredState,

    /// Why it is to end, with `desiredState: Ended`; `ended_by_owner` when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::end_reason")]
    pub end_reason: Option<EndReason>,

    /// A publisher's connection that its router is to close. The broadcast goes on, and the publisher may come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropOrder>,

    /// True once the stream key no longer counts. Ends the broadcast.
    #[serde(default)]
    pub key_revoked: bool,

    /// Who publishes. Written by the router that has the publisher, and nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<Ingest>,
}

/// A quality that a worker makes below the source.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rung {
    /// Its name in playlists and storage, as in `720p`.
    #[schemars(schema_with = "schemas::rendition")]
    pub name: RenditionName,
    /// Pixels along the shorter side.
    #[schemars(with = "i64", range(min = 96, max = 2160))]
    pub height: u32,
    /// Bits a second.
    #[schemars(with = "i64", range(min = 50_000, max = 50_000_000))]
    pub bitrate: u32,
}

/// What a channel's last broadcast was like.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hints {
    /// The longest distance between keyframes, in milliseconds.
    #[schemars(with = "i64", range(min = 0, max = 600_000))]
    pub keyframe_ms: u32,
    /// The longest frame, in milliseconds.
    #[schemars(with = "i64", range(min = 0, max = 60_000))]
    pub max_frame_ms: u32,
    /// Frames in a thousand seconds.
    #[schemars(with = "i64", range(min = 0, max = 1_000_000))]
    pub fps_milli: u32,
}

/// An order to close a publisher's connection.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropOrder {
    /// The connection, by the session in `ingest`; an order for an earlier one does nothing.
    #[schemars(schema_with = "schemas::uuid")]
    pub session: SessionId,
    /// What the publisher is told.
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// Who publishes a broadcast.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingest {
    /// The publisher's connection.
    #[schemars(schema_with = "schemas::uuid")]
    pub session: SessionId,
    /// Counts the publishers of the broadcast: a return or a takeover is one more.
    #[schemars(schema_with = "schemas::count")]
    pub generation: Generation,
    /// The router that holds the connection: the base URL of its internal listener.
    #[schemars(length(min = 1, max = 256))]
    pub router: String,
    /// SHA-256 of the stream key, in hex, by which a router knows a returning publisher while the api is away.
    #[schemars(length(max = 64), regex(pattern = "^[0-9a-f]*$"))]
    pub key_hash: String,
    /// How often the router could not relay to the worker. The operator replaces a worker that cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
    /// Why the router turned this publisher away for what it sends, in the words that the publisher was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub refused: Option<String>,
}

/// Relays to a worker that failed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relay {
    /// The worker, by its epoch.
    #[schemars(schema_with = "schemas::count")]
    pub epoch: Epoch,
    /// The publisher's connection that was to be relayed.
    #[schemars(schema_with = "schemas::uuid")]
    pub session: SessionId,
    /// How often it failed, since this session met this epoch.
    #[schemars(schema_with = "schemas::count")]
    pub failures: u32,
    /// When it last failed, by the router's clock.
    pub last_failed_at: MicroTime,
}

fn default_pool() -> String {
    "default".to_owned()
}

/// What a router takes when it is told nothing else.
fn default_window() -> Duration {
    duration(30_000)
}

/// An hour to look at what became of a broadcast.
fn default_ttl() -> u32 {
    3_600
}

#[cfg(test)]
mod tests;
