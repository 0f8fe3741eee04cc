//! Records for tests.

use caudal_livestream::admission::{Access, LatencyMode};
use caudal_livestream::record::{DesiredState, Ingest, LiveStream, Spec, Status};
use caudal_livestream::{Generation, SessionId, StreamId};

/// Of a stream of its own.
pub(crate) fn record() -> LiveStream {
    LiveStream { spec: spec(), status: Status::default() }
}

pub(crate) fn spec() -> Spec {
    Spec {
        stream: StreamId::generate(),
        channel: "ann".to_owned(),
        title: "A day".to_owned(),
        access: Access::Public,
        renditions: Vec::new(),
        latency_mode: LatencyMode::Low,
        reconnect_window_ms: 30_000,
        record: false,
        hints: None,
        desired_state: DesiredState::Live,
        end_reason: None,
        drop: None,
        key_revoked: false,
        ingest: ingest(1),
    }
}

pub(crate) fn ingest(generation: u32) -> Ingest {
    Ingest {
        session: SessionId::generate(),
        generation: Generation(generation),
        router: "http://127.0.0.1:1".to_owned(),
        key_hash: "00".to_owned(),
        relay: None,
    }
}
