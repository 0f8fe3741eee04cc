//! What a controller and the roles beside it say to each other: the bodies of commands, their answers, and the lines of
//! the one long answer that shows all streams.

use caudal_livestream::record::{Ingest, LiveStream, MediaInfo, Phase, RelayFailures, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Generation, SessionId, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Shows all streams, and each change from then on.
pub(super) const WATCH: &str = "/directory/watch";
/// The router's commands.
pub(super) const OPEN: &str = "/directory/open";
pub(super) const RECONNECT: &str = "/directory/reconnect";
pub(super) const WORKER_UNREACHABLE: &str = "/directory/worker-unreachable";
pub(super) const REPORT_MEDIA: &str = "/directory/report-media";
pub(super) const MEDIA_REFUSED: &str = "/directory/media-refused";
/// The api's commands.
pub(super) const END: &str = "/directory/end";
pub(super) const DROP_PUBLISHER: &str = "/directory/drop-publisher";
pub(super) const REVOKE_KEY: &str = "/directory/revoke-key";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Open {
    pub spec: Spec,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reconnect {
    pub stream: StreamId,
    pub ingest: Ingest,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkerUnreachable {
    pub stream: StreamId,
    pub failures: RelayFailures,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportMedia {
    pub stream: StreamId,
    pub session: SessionId,
    pub media: MediaInfo,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MediaRefused {
    pub stream: StreamId,
    pub session: SessionId,
    pub words: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct End {
    pub stream: StreamId,
    pub reason: EndReason,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DropPublisher {
    pub stream: StreamId,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevokeKey {
    pub stream: StreamId,
}

/// How far a controller's directory is. Revisions of different runs of a controller cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The controller's process.
    pub run: Uuid,
    /// Counts the versions of its directory that anybody has seen.
    pub revision: u64,
}

impl Mark {
    /// Whether a directory that is this far is known to show what was true at `other`.
    pub(super) fn shows(self, other: Self) -> bool {
        self.run == other.run && self.revision >= other.revision
    }
}

/// The answer to a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// Where the directory was once the command was carried out: who has read this far sees its effect.
    pub mark: Mark,
    pub outcome: Outcome,
}

/// What a command came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(super) enum Outcome {
    Done,
    Record { record: Box<LiveStream> },
    Exists { record: Box<LiveStream> },
    NoCapacity,
    Stale { generation: Generation },
    Over { phase: Phase },
    Unknown,
    Unavailable { reason: String },
}

/// A line of the long answer, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(super) enum Line<'a> {
    /// A stream that is new or has changed.
    Record { stream: StreamId, record: &'a LiveStream },
    /// A stream that is no longer known.
    Removed { stream: StreamId },
    /// Everything up to this mark has been said. Without changes it comes each second all the same.
    Whole { mark: Mark },
}

/// A line as it is read: what it is about can be read even where its record cannot.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineHead<'a> {
    pub kind: LineKind,
    pub stream: Option<StreamId>,
    pub mark: Option<Mark>,
    #[serde(borrow)]
    pub record: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum LineKind {
    Record,
    Removed,
    Whole,
    /// A later release says more than this one knows.
    #[serde(other)]
    Other,
}
