//! What is written to a LiveStream resource to make it say what the controller's record says.

use caudal_controller::Record;
use caudal_kubernetes::live_stream::Seen;
use caudal_kubernetes::{LiveStream, LiveStreamSpec, LiveStreamStatus, names};
use caudal_livestream::UnixMillis;
use caudal_livestream::record::Phase;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::RecordSettings;
use super::reading::is_being_deleted;
use caudal_kubernetes::names::is_held;

/// The status that says what `record` says.
pub(super) fn status_of(
    resource: &LiveStream,
    record: &Record,
    settings: &RecordSettings,
    now: UnixMillis,
) -> Result<LiveStreamStatus, serde_json::Error> {
    let before = resource.status.as_ref();
    let playback = (settings.playback)(record.stream());
    LiveStreamStatus::of(&Seen {
        machine: &record.machine,
        generation: resource.metadata.generation,
        media: before.and_then(|before| before.media.as_ref()),
        playback: playback.as_deref(),
        place: &|worker| (settings.places)(worker),
        paused: names::is_paused(resource),
        before,
        now: Timestamp::from_millisecond(now.0).unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

/// Whether somebody waits for this status: until it names a stream's worker, its publisher and its viewers do; the worker that it is
/// moved to, its router; and behind its closing, viewers for the end of its playlists, which has a deadline.
pub(super) fn is_awaited(before: Option<&LiveStreamStatus>, status: &LiveStreamStatus) -> bool {
    let ended = matches!(status.phase, Phase::Ended | Phase::Failed);
    let told = |before: &LiveStreamStatus| {
        (before.worker == status.worker && before.next == status.next)
            && (before.phase == status.phase || status.phase != Phase::Ending)
    };
    !ended && (status.worker.is_none() || !before.is_some_and(told))
}

/// What of the resource has to change besides its status, as a merge patch that holds for this version alone; none when nothing has. In a
/// namespace that is being deleted, nothing is to be held.
pub(super) fn main_patch(resource: &LiveStream, record: &Record, namespace_goes: bool) -> Option<Value> {
    let mut patch = Map::new();
    if let Some(wanted) = &record.spec {
        let wanted = LiveStreamSpec::of(wanted);
        // The rest is what nobody but the router, or the api, decides.
        let fields = |spec: &LiveStreamSpec| {
            [
                ("desiredState", json!(spec.desired_state)),
                ("endReason", json!(spec.end_reason)),
                ("drop", json!(spec.drop)),
                ("keyRevoked", json!(spec.key_revoked)),
            ]
        };
        let deleting = is_being_deleted(resource);
        let known = fields(&resource.spec);
        let changed = fields(&wanted).into_iter().zip(known).filter(|(wanted, known)| wanted.1 != known.1);
        let spec: Map<String, Value> = changed.map(|((field, value), _)| (field.to_owned(), value)).collect();
        // A deletion reads as an end, and needs no other word.
        if !spec.is_empty() && !deleting {
            patch.insert("spec".to_owned(), Value::Object(spec));
        }
    }
    // Once it is to end, whoever takes the finalizer off means it: the uninstall, or this operator itself after a day.
    let wants_finalizer =
        record.machine.end_reason().is_none() && !is_being_deleted(resource) && !namespace_goes;
    if wants_finalizer && !is_held(resource) {
        let mut finalizers = resource.metadata.finalizers.clone().unwrap_or_default();
        finalizers.push(names::END_FINALIZER.to_owned());
        patch.insert("metadata".to_owned(), json!({ "finalizers": finalizers }));
    }
    (!patch.is_empty()).then(|| guarded(resource, patch))
}

/// Makes a merge patch fail on any other version of the resource, and on any other resource of its name.
fn guarded(resource: &LiveStream, mut patch: Map<String, Value>) -> Value {
    let metadata = patch.entry("metadata").or_insert_with(|| json!({}));
    if let Value::Object(metadata) = metadata {
        metadata.insert("uid".to_owned(), json!(resource.metadata.uid));
        metadata.insert("resourceVersion".to_owned(), json!(resource.metadata.resource_version));
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use caudal_kubernetes::live_stream::Worker;
    use caudal_livestream::WorkerId;

    use super::*;

    #[test]
    fn a_status_is_awaited_until_it_names_the_streams_worker() {
        let address = "127.0.0.1:1935".parse().unwrap();
        let worker =
            || Some(Worker { id: WorkerId::generate(), pod: None, node: None, rtmp: address, http: address });
        let (first, second) = (worker(), worker());
        let (pending, starting, live) = (Phase::Pending, Phase::Starting, Phase::Live);
        let (ending, ended) = (Phase::Ending, Phase::Ended);
        for (case, (before, told), (phase, says), awaited) in [
            ("a new stream", (pending, &None), (pending, &None), true),
            ("its worker", (pending, &None), (starting, &first), true),
            ("what becomes of it", (starting, &first), (live, &first), false),
            ("a worker that is lost", (live, &first), (live, &None), true),
            ("another one", (live, &None), (live, &second), true),
            ("a move's", (live, &first), (live, &second), true),
            ("that it ends", (live, &first), (ending, &first), true),
            ("how far that is", (ending, &first), (ending, &first), false),
            ("a worker that is lost then", (ending, &first), (ending, &None), true),
            ("that it is over", (ending, &first), (ended, &None), false),
        ] {
            let status = |phase, worker: &Option<Worker>| LiveStreamStatus {
                phase,
                worker: worker.clone(),
                ..LiveStreamStatus::default()
            };
            let (before, after) = (status(before, told), status(phase, says));
            assert_eq!(is_awaited(Some(&before), &after), awaited, "{case}");
        }
    }
}
