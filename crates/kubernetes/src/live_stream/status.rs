//! What is known of a broadcast: written by the operator, `media` by the router.

use std::net::SocketAddr;

use caudal_livestream::lifecycle::Lifecycle;
use caudal_livestream::record::Phase;
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, WorkerId};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::words::{readable, schemas};

/// What is known of a broadcast. The operator writes all of it but `media`, which is the router's.
// What follows from `lifecycle` is written over when somebody changes it, so a value in it that cannot be read counts as none: it must not make all
// of the resource unreadable.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveStreamStatus {
    /// The `metadata.generation` that the rest of the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Pending` has no worker yet, `Starting` has nothing to watch yet, `Live` can be watched, `Reconnecting` waits for its
    /// publisher, `Ending` is closing its playlists, `Ended` is over, and `Failed` is over without anybody having wanted that.
    #[serde(default)]
    #[schemars(schema_with = "schemas::phase")]
    pub phase: Phase,

    /// When the phase ends by itself, unless something happens before.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<MicroTime>,

    /// Counts the workers that the broadcast has had, and those of moves that came to nothing.
    #[serde(default)]
    #[schemars(schema_with = "schemas::count")]
    pub epoch: Epoch,

    /// The broadcast's worker.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub worker: Option<Worker>,

    /// The worker that the broadcast is being moved to.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub next: Option<NextWorker>,

    /// True when two workers died soon after they had taken this publisher: the next one does not get the kept media, because
    /// something in it may be what they died of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_replay: bool,

    /// Where viewers find the broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub playback: Option<String>,

    /// What the publisher sends. Written by its router when something of it changes, so the figures are not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,

    /// When the first segment could be watched.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,

    /// When the broadcast was over.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<MicroTime>,

    /// Why it ended or is being closed, in a word for programs.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::end_reason")]
    pub end_reason: Option<EndReason>,

    /// How the broadcast ended, in words for people; before the end, what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,

    /// `Ready`: it can be watched. `WorkerAssigned`: a worker has its assignment. `Publishing`: its publisher is there.
    /// `Paused`: the annotation `caudal.dev/paused` keeps the operator from moving, releasing and removing it; said of one that is or was.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,

    /// The operator's own record of the broadcast, from which it goes on after a restart. It goes once nothing is left to be done
    /// for an ended broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<StoredLifecycle>,
}

/// A worker that serves the broadcast.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// The UID of its pod.
    #[schemars(schema_with = "schemas::uuid")]
    pub id: WorkerId,
    /// Its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,
    /// The node that its pod is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Where the router publishes to.
    #[schemars(schema_with = "schemas::address")]
    pub rtmp: SocketAddr,
    /// Where edges and operator find it.
    #[schemars(schema_with = "schemas::address")]
    pub http: SocketAddr,
}

/// A worker that gets ready to take the broadcast over.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextWorker {
    /// The epoch that it will have.
    #[schemars(schema_with = "schemas::count")]
    pub epoch: Epoch,
    /// Where it is.
    pub worker: Worker,
}

/// What a publisher sends, as its router measured it when something of it changed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Media {
    /// Bits a second, pictures and sound; within 30 % of what it is.
    #[serde(default)]
    #[schemars(with = "i64", range(min = 0, max = 1_000_000_000_000_i64))]
    pub bitrate: u64,
    /// Frames in a thousand seconds.
    #[serde(default)]
    #[schemars(schema_with = "schemas::count")]
    pub fps_milli: u32,
    /// Milliseconds between the last two keyframes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::count")]
    pub keyframe_interval_ms: Option<u32>,
    /// Pixels across.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::count")]
    pub width: Option<u32>,
    /// Pixels down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::count")]
    pub height: Option<u32>,
    /// As in `H.264` or `HEVC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub video_codec: Option<String>,
    /// As in `AAC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub audio_codec: Option<String>,
    /// What the encoder calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub encoder: Option<String>,
    /// Whether frames come in another order than they are shown in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b_frames: Option<bool>,
    /// Frames that the router left out because the worker was slow.
    #[serde(default)]
    #[schemars(with = "i64", range(min = 0, max = 1_000_000_000_000_i64))]
    pub dropped_frames: u64,
    /// When the publisher connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<MicroTime>,
}

/// The operator's own record of a broadcast. Its fields are those of the state machine in `crates/livestream`, whose golden
/// files fix them, and not for others to read: everything of use is elsewhere in the status.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
// Atomic: with each of its fields owned by itself, the server's book of who wrote what would be a third of the resource.
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-map-type" = "atomic"))]
pub struct StoredLifecycle {
    /// Which fields there are. An operator reads no version but its own; it leaves other streams to the release that wrote them.
    #[schemars(with = "i64", range(min = 1, max = 1_000))]
    pub version: u32,
    /// The state machine.
    #[serde(flatten)]
    #[schemars(skip)]
    pub machine: Map<String, Value>,
}

/// The version of [`StoredLifecycle`] that this release writes.
pub const STORED_VERSION: u32 = 1;

/// Why a stored machine cannot be gone on from.
#[derive(Debug, Error)]
pub enum UnreadableLifecycle {
    /// Another release wrote it.
    #[error("status.lifecycle has version {0}; this release reads version {reads}", reads = STORED_VERSION)]
    Version(u32),
    /// It is no machine.
    #[error("status.lifecycle: {0}")]
    Json(#[from] serde_json::Error),
}

impl StoredLifecycle {
    /// As this release writes it.
    ///
    /// # Errors
    /// Cannot happen with a machine.
    pub fn of(machine: &Lifecycle) -> Result<Self, serde_json::Error> {
        let machine = serde_json::from_value(serde_json::to_value(machine)?)?;
        Ok(Self { version: STORED_VERSION, machine })
    }

    /// The machine.
    ///
    /// # Errors
    /// [`UnreadableLifecycle`].
    pub fn read(&self) -> Result<Lifecycle, UnreadableLifecycle> {
        if self.version != STORED_VERSION {
            return Err(UnreadableLifecycle::Version(self.version));
        }
        Ok(serde_json::from_value(Value::Object(self.machine.clone()))?)
    }

    /// Whether the two differ in the announced position alone. That comes back with the worker's feed, or from what the
    /// worker stored, and is no reason to write a resource every two seconds.
    pub fn differs_in_floor_only(&self, other: &Self) -> bool {
        let rest = |machine: &Map<String, Value>| {
            let mut machine = machine.clone();
            machine.remove(FLOOR);
            machine
        };
        self.version == other.version && rest(&self.machine) == rest(&other.machine)
    }
}

/// The field of the machine that holds the announced position.
const FLOOR: &str = "floor";
