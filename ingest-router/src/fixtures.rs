//! Records for tests.

use caudal_livestream::admission::{Access, LatencyMode};
use caudal_livestream::record::{DesiredState, Ingest, LiveStream, Spec, Status};
use caudal_livestream::{Generation, SessionId, StreamId};

/// A stream that was just opened by the key with this hash.
pub(crate) fn record(key_hash: &str) -> LiveStream {
    LiveStream {
        spec: Spec {
            stream: StreamId::generate(),
            channel: "ann".into(),
            title: "hello".into(),
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
            ingest: Ingest {
                session: SessionId::generate(),
                generation: Generation(1),
                router: "http://127.0.0.1:1".into(),
                key_hash: key_hash.into(),
                relay: None,
            },
        },
        status: Status::default(),
    }
}
