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
/// The content type of that.
pub(super) const LINES: &str = "application/x-ndjson";
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
    /// Not begun after that: its sender has stopped waiting. What was begun in time may still take effect. The release before
    /// does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Moment>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reconnect {
    pub stream: StreamId,
    pub ingest: Ingest,
    /// As in [`Open`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Moment>,
}

/// An instant by a controller's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moment {
    /// The controller's process.
    pub run: Uuid,
    /// Milliseconds since it began.
    pub ms: u64,
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
    #[serde(rename_all = "camelCase")]
    Whole { mark: Mark, now_ms: u64 },
}

/// A line as it is read: what it is about can be read even where its record cannot.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineHead<'a> {
    pub kind: LineKind,
    pub stream: Option<StreamId>,
    pub mark: Option<Mark>,
    /// [`Moment::ms`] when the line was written. The release before does not say.
    pub now_ms: Option<u64>,
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

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use caudal_livestream::{Epoch, UnixMillis};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json, to_value};

    use super::*;
    use crate::remote::tests::stream_of;

    fn is_read_from_what_is_written<T: Serialize + DeserializeOwned + Debug>(message: &T, written: &Value) {
        assert_eq!(to_value(message).unwrap(), *written);
        let read: T = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(to_value(&read).unwrap(), *written, "{read:?}");
    }

    /// The release after this one and the one before it may be the other end: what changes here must still be read there.
    #[test]
    fn every_command_is_written_as_other_releases_read_it() {
        let LiveStream { spec, .. } = stream_of("a");
        let (stream, session) = (spec.stream, spec.ingest.session);
        let written = json!({ "spec": to_value(&spec).unwrap() });
        is_read_from_what_is_written(&Open { spec: spec.clone(), by: None }, &written);
        let by = Some(Moment { run: Uuid::nil(), ms: 9_000 });
        let written_by = json!({ "run": "00000000-0000-0000-0000-000000000000", "ms": 9_000 });
        let written = json!({ "spec": to_value(&spec).unwrap(), "by": written_by });
        is_read_from_what_is_written(&Open { spec: spec.clone(), by }, &written);
        let ingest = spec.ingest;
        let written = json!({ "stream": stream, "ingest": to_value(&ingest).unwrap() });
        is_read_from_what_is_written(&Reconnect { stream, ingest: ingest.clone(), by: None }, &written);
        let written = json!({ "stream": stream, "ingest": to_value(&ingest).unwrap(), "by": written_by });
        is_read_from_what_is_written(&Reconnect { stream, ingest, by }, &written);
        let failures = RelayFailures { epoch: Epoch(3), session, failures: 2, last_failed_at: UnixMillis(1) };
        let written = json!({ "stream": stream, "failures": to_value(failures).unwrap() });
        is_read_from_what_is_written(&WorkerUnreachable { stream, failures }, &written);
        let media = MediaInfo { bitrate: 5, ..MediaInfo::default() };
        let written = json!({ "stream": stream, "session": session, "media": to_value(&media).unwrap() });
        is_read_from_what_is_written(&ReportMedia { stream, session, media }, &written);
        let written = json!({ "stream": stream, "session": session, "words": "no such codec" });
        is_read_from_what_is_written(
            &MediaRefused { stream, session, words: "no such codec".to_owned() },
            &written,
        );
        let written = json!({ "stream": stream, "reason": to_value(EndReason::KeyRotated).unwrap() });
        is_read_from_what_is_written(&End { stream, reason: EndReason::KeyRotated }, &written);
        let written = json!({ "stream": stream, "reason": "why" });
        is_read_from_what_is_written(&DropPublisher { stream, reason: "why".to_owned() }, &written);
        is_read_from_what_is_written(&RevokeKey { stream }, &json!({ "stream": stream }));
    }

    #[test]
    fn every_answer_and_every_line_is_written_as_other_releases_read_it() {
        let record = stream_of("a");
        let (stream, shown) = (record.spec.stream, to_value(&record).unwrap());
        let mark = Mark { run: Uuid::nil(), revision: 7 };
        let written_mark = json!({ "run": "00000000-0000-0000-0000-000000000000", "revision": 7 });
        let boxed = || Box::new(record.clone());
        for (outcome, written) in [
            (Outcome::Done, json!({ "kind": "done" })),
            (Outcome::Record { record: boxed() }, json!({ "kind": "record", "record": shown })),
            (Outcome::Exists { record: boxed() }, json!({ "kind": "exists", "record": shown })),
            (Outcome::NoCapacity, json!({ "kind": "noCapacity" })),
            (Outcome::Stale { generation: Generation(4) }, json!({ "kind": "stale", "generation": 4 })),
            (Outcome::Over { phase: Phase::Ended }, json!({ "kind": "over", "phase": "Ended" })),
            (Outcome::Unknown, json!({ "kind": "unknown" })),
            (
                Outcome::Unavailable { reason: "full".to_owned() },
                json!({ "kind": "unavailable", "reason": "full" }),
            ),
        ] {
            let written = json!({ "mark": written_mark, "outcome": written });
            is_read_from_what_is_written(&Answer { mark, outcome }, &written);
        }
        for (line, written) in [
            (
                Line::Record { stream, record: &record },
                json!({ "kind": "record", "stream": stream, "record": shown }),
            ),
            (Line::Removed { stream }, json!({ "kind": "removed", "stream": stream })),
            (
                Line::Whole { mark, now_ms: 9_000 },
                json!({ "kind": "whole", "mark": written_mark, "nowMs": 9_000 }),
            ),
        ] {
            assert_eq!(to_value(line).unwrap(), written);
        }
    }
}
