//! What an administrator has paused: `kubectl annotate lst s-… caudal.dev/paused=true`, or a WorkerPool likewise.
//!
//! Whoever pauses wants things to stay as they are while somebody looks at them, restores a backup or repairs something by hand. So what the
//! operator does of its own accord stops: moves, warm workers, collections, finalizers. What a broadcast needs in order to go on does not: its
//! phase is led, a worker that is lost is replaced, and an end is an end. Otherwise a forgotten annotation would cost a live broadcast.

use std::collections::HashMap;
use std::time::Duration;

use caudal_livestream::StreamId;
use kube::runtime::events::EventType;
use tokio::time::sleep;

use crate::events::{Notices, event};
use crate::pools::Pools;
use crate::records::LiveStreams;

/// What is paused of a namespace.
#[derive(Clone)]
pub(crate) struct Pauses {
    streams: LiveStreams,
    pools: Pools,
    /// The pool of streams that name none.
    pool: String,
}

impl Pauses {
    pub(crate) fn new(streams: LiveStreams, pools: Pools, pool: String) -> Self {
        Self { streams, pools, pool }
    }

    /// Whether a broadcast stays on the worker that it has: it is paused, or the pool that the next one would be of.
    pub(crate) fn holds(&self, stream: StreamId) -> bool {
        self.streams.is_paused(stream) || self.pools.is_paused(&self.pool(stream))
    }

    /// The pool that a broadcast's next worker would be of.
    pub(crate) fn pool(&self, stream: StreamId) -> String {
        self.streams.pool(stream).unwrap_or_else(|| self.pool.clone())
    }

    /// Says by Events which LiveStreams are paused, and when they are no longer; never ends. A pool says it by a condition.
    pub(crate) async fn tell(self, notices: Notices) {
        let tell = |stream: StreamId, reason: &str, note: String| {
            notices.tell(stream, event(EventType::Normal, reason, "Pause", note));
        };
        let mut known = HashMap::new();
        loop {
            let paused = self.streams.paused();
            for (stream, channel) in &paused {
                if !known.contains_key(stream) {
                    tracing::info!(%stream, "a LiveStream is paused");
                    tell(*stream, "Paused", format!("{channel}: {PAUSED}"));
                }
            }
            for (stream, channel) in &known {
                if !paused.contains_key(stream) {
                    tracing::info!(%stream, "a LiveStream is paused no longer");
                    tell(*stream, "Resumed", format!("{channel}: it is paused no longer"));
                }
            }
            known = paused;
            sleep(EACH).await;
        }
    }
}

const PAUSED: &str = "it is not moved, and its LiveStream is neither released nor removed, until caudal.dev/paused is taken off";
/// A person has typed it.
const EACH: Duration = Duration::from_secs(1);
