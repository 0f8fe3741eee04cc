//! How many people watch each stream: those who asked for a media playlist or media in the last ten seconds.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caudal_directory::Audience;
use caudal_livestream::StreamId;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Counts viewers and tells the [`Audience`].
pub(crate) struct Viewers {
    audience: Arc<dyn Audience>,
    metrics: Metrics,
    // An address is kept only as a hash under a key of this process.
    hasher: RandomState,
    seen: Mutex<HashMap<StreamId, Seen>>,
}

#[derive(Default)]
struct Seen {
    viewers: HashMap<u64, Instant>,
    recorded: u32,
}

/// What tells one viewer from another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ViewerKey<'a> {
    /// The player says who it is, `?v=`.
    Named(&'a str),
    /// Address and user agent; people behind one address with the same browser count once.
    Guessed(IpAddr, &'a [u8]),
}

impl Viewers {
    pub(crate) fn new(audience: Arc<dyn Audience>, metrics: Metrics) -> Self {
        Self { audience, metrics, hasher: RandomState::new(), seen: Mutex::default() }
    }

    /// Somebody watches `stream`.
    pub(crate) fn saw(&self, stream: StreamId, viewer: ViewerKey<'_>, now: Instant) {
        let key = match viewer {
            ViewerKey::Named(name) => self.hasher.hash_one(("named", name)),
            ViewerKey::Guessed(address, agent) => self.hasher.hash_one((address, agent)),
        };
        let mut seen = self.lock();
        let viewers = &mut seen.entry(stream).or_default().viewers;
        // A flood of made-up names must not fill memory.
        if viewers.len() < MAX_VIEWERS || viewers.contains_key(&key) {
            viewers.insert(key, now);
        }
    }

    /// Records each changed count, once a second until shutdown; then this edge has no viewers.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut tick = interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = tick.tick() => self.record(Instant::now()),
            }
        }
        for (stream, _) in self.lock().drain() {
            self.audience.record(stream, 0);
        }
    }

    fn record(&self, now: Instant) {
        let mut all = 0_i64;
        self.lock().retain(|stream, seen| {
            seen.viewers.retain(|_, at| now.saturating_duration_since(*at) <= WATCHING);
            let count = u32::try_from(seen.viewers.len()).unwrap_or(u32::MAX);
            if count != seen.recorded {
                self.audience.record(*stream, count);
                seen.recorded = count;
            }
            all = all.saturating_add(i64::from(count));
            count > 0
        });
        self.metrics.viewers.set(all);
    }

    /// Held for single operations only, never across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A plain player asks every segment, a low-latency one several times a second.
const WATCHING: Duration = Duration::from_secs(10);
/// Of one stream at one edge; 32 bytes each.
const MAX_VIEWERS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use caudal_directory::LocalAudience;

    fn viewers() -> (Viewers, Arc<LocalAudience>) {
        let audience = Arc::new(LocalAudience::default());
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        (Viewers::new(Arc::<LocalAudience>::clone(&audience), metrics), audience)
    }

    #[test]
    fn a_viewer_counts_once_however_often_it_asks_and_ten_seconds_after_it_left_no_more() {
        let (viewers, audience) = viewers();
        let stream = StreamId::generate();
        let start = Instant::now();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        for _ in 0..3 {
            viewers.saw(stream, ViewerKey::Guessed(local, b"firefox"), start);
        }
        viewers.saw(stream, ViewerKey::Guessed(local, b"safari"), start + Duration::from_secs(5));
        viewers.saw(stream, ViewerKey::Named("me"), start + Duration::from_secs(5));
        viewers.record(start + Duration::from_secs(6));
        assert_eq!(audience.viewers(stream), 3);
        viewers.record(start + Duration::from_secs(11));
        assert_eq!(audience.viewers(stream), 2);
        viewers.record(start + Duration::from_secs(16));
        assert_eq!(audience.viewers(stream), 0);
        assert!(viewers.lock().is_empty());
    }
}
