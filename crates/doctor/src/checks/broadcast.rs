//! What a broadcast's own resource says: its end and why, or what it waits for.

use caudal_kubernetes::LiveStream;
use caudal_kubernetes::live_stream::{LiveStreamStatus, WORKER_ASSIGNED};
use caudal_kubernetes::names::{PAUSED_ANNOTATION, is_paused};
use caudal_livestream::lifecycle::WAITING_FOR_A_WORKER;
use caudal_livestream::record::{DesiredState, Phase};
use caudal_livestream::report::EndReason;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::facts::{CALL_SECONDS, Facts, Target, changed, clock, counted, created, seen};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    match &facts.target {
        Target::Installation => failed_lately(facts).into_iter().collect(),
        _ => facts
            .stream()
            .map(|stream| {
                [of(stream, facts), silent(stream, facts), paused(stream, facts)]
                    .into_iter()
                    .flatten()
                    .collect()
            })
            .unwrap_or_default(),
    }
}

/// Why a broadcast is not live, as far as it says so itself; none while it is.
fn of(stream: &LiveStream, facts: &Facts) -> Option<Finding> {
    let waiting = LiveStreamStatus::default();
    let status = stream.status.as_ref().unwrap_or(&waiting);
    let (place, kind, says) = match status.phase {
        Phase::Live if status.worker.is_some() => return None,
        _ if refused(stream).is_some() => (
            Place::Broadcast,
            Kind::Unplayable,
            format!("the router turned its publisher away: {}", refused(stream).unwrap_or_default()),
        ),
        _ if stream.spec.key_revoked => (
            Place::Broadcast,
            Kind::Key,
            "its stream key was revoked: the encoder needs the new one".to_owned(),
        ),
        Phase::Ended | Phase::Failed | Phase::Ending => ended(stream, status, facts),
        _ if stream.is_being_deleted() || stream.spec.desired_state == DesiredState::Ended => (
            Place::Broadcast,
            Kind::Ended,
            "somebody ended or deleted it, and its playlists are being closed".to_owned(),
        ),
        Phase::Pending if stream.status.is_none() => (
            Place::Symptom,
            Kind::Waiting,
            format!("no operator has looked at it{}", since(created(stream), facts)),
        ),
        Phase::Pending => (
            Place::Symptom,
            Kind::Waiting,
            format!(
                "it has waited for a worker{}{}",
                since(changed(stream).or(created(stream)), facts),
                no_worker(status)
            ),
        ),
        Phase::Live => (
            Place::Symptom,
            Kind::Waiting,
            format!(
                "it has lost its worker, and waits for another one{}{}",
                since(assigned(status), facts),
                no_worker(status)
            ),
        ),
        Phase::Starting => (
            Place::Symptom,
            Kind::Waiting,
            format!(
                "a worker has had it{}, and no segment has come of it",
                since(changed(stream).or(created(stream)), facts)
            ),
        ),
        Phase::Reconnecting => {
            let until = status
                .deadline
                .as_ref()
                .map(|at| format!("; it is waited for until {}", clock(at.0)))
                .unwrap_or_default();
            (
                Place::Symptom,
                Kind::Waiting,
                format!("its publisher has been away{}{until}", since(changed(stream), facts)),
            )
        }
        Phase::Unknown => {
            (Place::Definitions, Kind::Unreadable, "another release wrote its phase".to_owned())
        }
    };
    Some(Finding {
        place,
        severity: if kind == Kind::Ended && is_as_wanted(stream, status) {
            Severity::Note
        } else {
            Severity::Problem
        },
        kind,
        says,
        evidence: evidence(stream, status, facts),
        advice: advice(kind, status, stream, facts),
    })
}

/// Whether it is over, and whoever sent it or had a say in it stopped it.
fn is_as_wanted(stream: &LiveStream, status: &LiveStreamStatus) -> bool {
    let reason = status.end_reason.or(stream.spec.end_reason);
    matches!(status.phase, Phase::Ending | Phase::Ended)
        && matches!(reason, Some(EndReason::Unpublished | EndReason::EndedByOwner))
}

/// Its encoder is connected and sends nothing. It counts as live until the router closes the connection.
fn silent(stream: &LiveStream, facts: &Facts) -> Option<Finding> {
    let status =
        stream.status.as_ref().filter(|status| status.phase == Phase::Live && status.worker.is_some())?;
    status.media.as_ref().filter(|media| media.bitrate == 0)?;
    changed(stream).filter(|at| facts.seconds_since(*at) >= MEASURED_SECONDS)?;
    let name = stream.name_any();
    Some(Finding {
        place: Place::Broadcast,
        severity: Severity::Problem,
        kind: Kind::Silent,
        says: "its encoder is connected, but sends nothing".to_owned(),
        evidence: vec![Evidence::new(format!("LiveStream {name}"), None, "status.media.bitrate is 0")],
        advice: vec![
            "Does the encoder run, and is its way to the router free? After 60 s of silence its connection is closed".to_owned(),
            "Another encoder with the same key may take over at once".to_owned(),
            format!("kubectl -n {} get lst {name} -o wide --watch    # its bitrate", facts.namespace),
        ],
    })
}

/// It keeps no broadcast from being live, and no pod from being lost.
fn paused(stream: &LiveStream, facts: &Facts) -> Option<Finding> {
    let (name, namespace) = (stream.name_any(), &facts.namespace);
    is_paused(stream).then(|| Finding {
        place: Place::Symptom,
        severity: Severity::Warning,
        kind: Kind::Paused,
        says: "it is paused: it is not moved from a node that is emptied, and its LiveStream is not removed".to_owned(),
        evidence: vec![Evidence::new(format!("LiveStream {name}"), None, format!("{PAUSED_ANNOTATION}: true"))],
        advice: vec![format!("kubectl -n {namespace} annotate lst {name} {PAUSED_ANNOTATION}-    # when nobody needs it any more")],
    })
}

fn refused(stream: &LiveStream) -> Option<String> {
    stream.spec.ingest.as_ref()?.refused.clone()
}

fn ended(stream: &LiveStream, status: &LiveStreamStatus, facts: &Facts) -> (Place, Kind, String) {
    let reason = status.end_reason.or(stream.spec.end_reason);
    let words = status
        .reason
        .clone()
        .or(reason.map(|reason| reason.to_string()))
        .unwrap_or_else(|| "it ended".to_owned());
    let when = status.ended_at.as_ref().map(|at| format!(" at {}", clock(at.0))).unwrap_or_default();
    // These are what a publisher was told. Why there was no room, or no picture, is found elsewhere where it is still so.
    let (place, kind) = match reason {
        Some(EndReason::KeyRotated) => (Place::Broadcast, Kind::Key),
        Some(EndReason::NothingPlayable) => (Place::Broadcast, Kind::Unplayable),
        Some(EndReason::NoCapacity) => (Place::Symptom, Kind::Capacity),
        Some(EndReason::WorkersLost) => (Place::Symptom, Kind::Crash),
        Some(EndReason::StartTimeout) => (Place::Symptom, Kind::Ended),
        // Of a channel, that is how things stand, and says nothing of why the next one does not begin.
        _ if matches!(facts.target, Target::Channel(_)) => (Place::Symptom, Kind::Ended),
        _ => (Place::Broadcast, Kind::Ended),
    };
    let what = match facts.target {
        Target::Channel(_) => "its last broadcast ended",
        _ => "it ended",
    };
    (place, kind, format!("{what}{when}: {words}"))
}

fn evidence(stream: &LiveStream, status: &LiveStreamStatus, facts: &Facts) -> Vec<Evidence> {
    let object = format!("LiveStream {}", stream.name_any());
    let mut said = format!("phase {:?}, epoch {}", status.phase, status.epoch);
    if let Some(reason) = &status.reason {
        said = format!("{said}: {reason}");
    }
    let mut found = vec![Evidence::new(object.clone(), changed(stream).or(created(stream)), said)];
    if let Some(words) = refused(stream) {
        found.push(Evidence::new(object.clone(), None, format!("spec.ingest.refused: {words}")));
    }
    let untrue = status.conditions.iter().filter(|one| one.status != "True" && !status.phase.is_over());
    found.extend(untrue.map(|one| {
        let said = format!("{} is {}, {}: {}", one.type_, one.status, one.reason, one.message);
        Evidence::new(object.clone(), Some(one.last_transition_time.0), said)
    }));
    let events = facts.warnings_about("LiveStream", &stream.name_any());
    found.extend(events.into_iter().take(EVENTS).map(Evidence::of_event));
    found
}

fn advice(kind: Kind, status: &LiveStreamStatus, stream: &LiveStream, facts: &Facts) -> Vec<String> {
    let namespace = &facts.namespace;
    let describe = format!("kubectl -n {namespace} describe lst {}", stream.name_any());
    let more = match (kind, status.phase) {
        (Kind::Key, _) => "The streamer copies the key anew from the page Go live into OBS",
        (Kind::Unplayable, _) => {
            "The streamer sets OBS to H.264 or HEVC video and AAC sound; the studio shows them these words too"
        }
        (Kind::Capacity, _) => {
            "There is room now, or the causes above say why not: the streamer presses Start again"
        }
        (_, Phase::Reconnecting) => "Nothing is wrong here: the encoder, or the way from it, is",
        (_, Phase::Starting) => {
            "Does OBS send? The router's log has `publisher let in` and `relay connected`, the worker's what it lacks"
        }
        (Kind::Ended, _) => "The streamer presses Start again",
        _ if status.reason.as_deref().is_some_and(|reason| reason.contains("quota")) => {
            return vec![describe, format!("kubectl -n {namespace} describe resourcequota")];
        }
        _ => return vec![describe],
    };
    vec![describe, more.to_owned()]
}

/// How many broadcasts failed in the last minutes, for whoever asks about the installation.
fn failed_lately(facts: &Facts) -> Option<Finding> {
    let failures: Vec<_> = seen(&facts.streams)
        .iter()
        .filter_map(|stream| {
            let status = stream.status.as_ref()?;
            let at = status.ended_at.as_ref()?.0;
            let failed =
                status.end_reason.is_some_and(EndReason::is_failure) || status.phase == Phase::Failed;
            (failed && facts.seconds_since(at) < CALL_SECONDS).then_some((at, stream, status))
        })
        .collect();
    let (at, stream, status) = failures.iter().max_by_key(|(at, ..)| *at)?;
    let words = status.reason.clone().unwrap_or_default();
    let channel = stream.spec.channel.clone().unwrap_or_default();
    Some(Finding {
        place: Place::Symptom,
        severity: Severity::Warning,
        kind: Kind::Ended,
        says: format!(
            "{} failed in the last {} minutes; the newest is {channel}'s: {words}",
            counted(failures.len(), "broadcast"),
            CALL_SECONDS / 60
        ),
        evidence: vec![Evidence::new(format!("LiveStream {}", stream.name_any()), Some(*at), words)],
        advice: vec![format!("caudal doctor --namespace {} {channel}", facts.namespace)],
    })
}

/// Why it has none, as the operator has found.
fn no_worker(status: &LiveStreamStatus) -> String {
    let reason = status.reason.as_deref().unwrap_or_default();
    reason.strip_prefix(WAITING_FOR_A_WORKER).unwrap_or_default().to_owned()
}

/// Since when it has its worker, or none.
fn assigned(status: &LiveStreamStatus) -> Option<Timestamp> {
    status.conditions.iter().find(|one| one.type_ == WORKER_ASSIGNED).map(|one| one.last_transition_time.0)
}

fn since(at: Option<Timestamp>, facts: &Facts) -> String {
    at.map(|at| format!(" since {}", clock(at)))
        .filter(|_| at.is_some_and(|at| at <= facts.now))
        .unwrap_or_default()
}

/// A router writes the first bitrate, which may be of nothing yet, and the next one ten seconds later.
const MEASURED_SECONDS: i64 = 15;
/// One screen.
const EVENTS: usize = 3;
