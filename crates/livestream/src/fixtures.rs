//! Records for the tests of every crate.

use crate::admission::{Access, LatencyMode};
use crate::record::{DesiredState, Ingest, LiveStream, Spec, Status};
use crate::{Generation, SessionId, StreamId};

/// A stream that has just been opened, by its first publisher. Each is another one.
pub fn record() -> LiveStream {
    LiveStream { spec: spec(), status: Status::default() }
}

/// What its router wrote.
pub fn spec() -> Spec {
    Spec {
        stream: StreamId::generate(),
        channel: "ann".to_owned(),
        title: "A day".to_owned(),
        access: Access::Public,
        pool: None,
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

/// A publisher that nobody has seen, at a router that is not there.
pub fn ingest(generation: u32) -> Ingest {
    Ingest {
        session: SessionId::generate(),
        generation: Generation(generation),
        router: "http://127.0.0.1:1".to_owned(),
        key_hash: "00".to_owned(),
        relay: None,
        refused: None,
    }
}
