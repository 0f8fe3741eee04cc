//! What a LiveStream resource says to the controller.

use caudal_controller::{Record, Shown, Version};
use caudal_kubernetes::live_stream::UnreadableLifecycle;
use caudal_kubernetes::{LiveStream, names};
use caudal_livestream::record::MediaInfo;
use caudal_livestream::report::EndReason;
use caudal_livestream::{StreamId, UnixMillis};
use kube::Resource as _;
use kube::core::DeserializeGuard;
use thiserror::Error;

/// What a resource holds.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// A broadcast that something is left to be done for, and how people read it in the resource.
    Record(Box<Record>, Shown),
    /// One that nothing is left to be done for. It stays for people, until then.
    Memento(UnixMillis),
}

/// Why a resource says nothing to the controller.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    #[error("its name is not that of stream {0}")]
    Name(StreamId),
    #[error("status.lifecycle is that of stream {0}")]
    Other(StreamId),
    #[error(transparent)]
    Lifecycle(#[from] UnreadableLifecycle),
    #[error("it has no resourceVersion that is a number")]
    Version,
    #[error("it has no uid or no creationTimestamp")]
    Metadata,
}

pub(super) fn version_of(resource: &LiveStream) -> Result<Version, Unreadable> {
    resource.version().map(Version).ok_or(Unreadable::Version)
}

/// The stream whose resource this is.
pub(super) fn stream_of(resource: &LiveStream) -> Result<StreamId, Unreadable> {
    resource.stream().ok_or(Unreadable::Name(resource.spec.stream))
}

/// What the resource says. The same resource always says the same, also one that no operator has written to yet.
pub(super) fn read(resource: &LiveStream) -> Result<Reading, Unreadable> {
    let stream = stream_of(resource)?;
    let created = resource.metadata.creation_timestamp.as_ref().ok_or(Unreadable::Metadata)?;
    let created = UnixMillis(created.0.as_millisecond());
    let spec = resource.wanted().ok();
    let status = resource.status.as_ref();
    if let Some(stored) = status.and_then(|status| status.lifecycle.as_ref()) {
        let machine = stored.read()?;
        if machine.stream() != stream {
            return Err(Unreadable::Other(machine.stream()));
        }
        let shown = if resource.shows(&machine) { Shown::AsItIs } else { Shown::Otherwise };
        return Ok(Reading::Record(Box::new(Record { spec, machine }), shown));
    }
    if let Some(until) = memento_until(resource) {
        return Ok(Reading::Memento(until));
    }
    // By the server's clock, so that an operator that comes late finds the same deadlines.
    let record = if let Some(spec) = spec {
        Record::opened(spec, created)
    } else {
        let reason = resource.spec.end_reason.unwrap_or(EndReason::EndedByOwner);
        Record::ended(stream, reason, created)
    };
    Ok(Reading::Record(Box::new(record), Shown::NotYet))
}

/// The streams that a resource may hold something of when it says nothing to the controller; none when it can be understood.
pub(super) fn in_doubt(guard: &DeserializeGuard<LiveStream>) -> Vec<StreamId> {
    let named = guard.meta().name.as_deref().and_then(names::stream_of);
    match &guard.0 {
        Ok(resource) => match read(resource) {
            Ok(_) => Vec::new(),
            Err(Unreadable::Other(other)) => vec![resource.spec.stream, other],
            Err(_) => named.into_iter().chain([resource.spec.stream]).collect(),
        },
        Err(_) => named.into_iter().collect(),
    }
}

/// What routers have measured of the stream's publishers.
pub(super) fn media_of(resource: &LiveStream) -> Option<MediaInfo> {
    resource.status.as_ref()?.media.as_ref().map(MediaInfo::from)
}

/// Until when a resource is kept that nothing is left to be done for; none while something is.
pub(super) fn memento_until(resource: &LiveStream) -> Option<UnixMillis> {
    let ended = resource.memento_since()?;
    Some(kept_until(resource, UnixMillis(ended.as_millisecond())))
}

/// Until when a resource stays for people.
pub(crate) fn kept_until(resource: &LiveStream, ended: UnixMillis) -> UnixMillis {
    if is_being_deleted(resource) {
        return ended;
    }
    let ttl_ms = i64::from(resource.spec.ttl_seconds_after_ended).saturating_mul(1_000);
    UnixMillis(ended.0.saturating_add(ttl_ms))
}

pub(super) fn is_being_deleted(resource: &LiveStream) -> bool {
    resource.is_being_deleted()
}
