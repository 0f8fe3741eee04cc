//! What a LiveStream says of whether its broadcast's media may go.

use caudal_kubernetes::{LiveStream, names};
use caudal_livestream::{StreamId, UnixMillis};
use kube::ResourceExt as _;
use kube::api::DynamicObject;

use crate::records::kept_until;

/// What the namespace knows of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// There is no LiveStream of it.
    Nothing,
    /// It may go on.
    Open,
    /// An administrator has said that nothing is to be done.
    Paused,
    /// A newer release wrote it, or somebody by hand; or it was only made to end a broadcast that nobody knew any more, and does not
    /// know either whether that was recorded.
    Unreadable,
    /// It was recorded.
    Recorded,
    /// It ended, and was not recorded.
    Over {
        at: UnixMillis,
        /// For people who want to read how it ended.
        kept_until: UnixMillis,
    },
}

/// Which streams a resource says something of: one, or also the one that its name is of, where that is another's.
pub(super) fn of(resource: DynamicObject) -> Vec<(StreamId, Known)> {
    let named = resource.metadata.name.as_deref().and_then(names::stream_of);
    let Ok(mut resource) = resource.try_parse::<LiveStream>() else {
        return named.map(|stream| (stream, Known::Unreadable)).into_iter().collect();
    };
    resource.straighten();
    match resource.stream() {
        Some(stream) => vec![(stream, read(&resource))],
        None => named
            .into_iter()
            .chain([resource.spec.stream])
            .map(|stream| (stream, Known::Unreadable))
            .collect(),
    }
}

fn read(resource: &LiveStream) -> Known {
    let Some(status) = resource.status.as_ref().filter(|status| status.phase.is_over()) else {
        return Known::Open;
    };
    if status.lifecycle.as_ref().is_some_and(|stored| stored.read().is_err()) {
        return Known::Unreadable;
    }
    if names::is_paused(resource) {
        return Known::Paused;
    }
    if resource.spec.record {
        return Known::Recorded;
    }
    if resource.spec.to_record().is_err() {
        return Known::Unreadable;
    }
    let ended =
        status.ended_at.as_ref().map(|at| at.0).or_else(|| resource.creation_timestamp().map(|at| at.0));
    let Some(at) = ended.map(|at| UnixMillis(at.as_millisecond())) else { return Known::Unreadable };
    Known::Over { at, kept_until: kept_until(resource, at) }
}
