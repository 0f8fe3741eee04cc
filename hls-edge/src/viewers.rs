//! How many watch each stream besides those whom the api counts: tells the [`Audience`] what each [`Crowd`] counts.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caudal_directory::Audience;
use caudal_livestream::{Msn, StreamId};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::asker::Asker;
use crate::crowd::{Crowd, Home, Player};
use crate::metrics::Metrics;
use crate::ticket::{PRESENT, TicketKey};

/// Counts viewers and tells the [`Audience`].
pub(crate) struct Viewers {
    audience: Arc<dyn Audience>,
    metrics: Metrics,
    key: TicketKey,
    // An address is kept only as a hash under a key of this process.
    hasher: RandomState,
    settling: Duration,
    /// Of streams that somebody fetches media of; only streams that exist have any.
    crowds: Mutex<HashMap<StreamId, Counted>>,
}

#[derive(Default)]
struct Counted {
    crowd: Crowd,
    recorded: u32,
}

impl Viewers {
    /// `settling` is how long one must have watched to count.
    pub(crate) fn new(
        audience: Arc<dyn Audience>,
        metrics: Metrics,
        key: TicketKey,
        settling: Duration,
    ) -> Self {
        Self { audience, metrics, key, hasher: RandomState::new(), settling, crowds: Mutex::default() }
    }

    /// A ticket for a new player of a stream that exists.
    pub(crate) fn new_ticket(&self, stream: StreamId) -> String {
        self.key.issue(stream, rand::random())
    }

    /// Whether the request carries a ticket for the stream.
    pub(crate) fn has_ticket(&self, stream: StreamId, asker: &Asker) -> bool {
        asker.ticket.as_deref().is_some_and(|text| self.key.read(stream, text).is_some())
    }

    /// Somebody is sent media of a segment of the live `stream`, whose last one is `newest`.
    pub(crate) fn fetched(&self, stream: StreamId, asker: &Asker, msn: Msn, newest: Msn) {
        let Some(player) = self.player(stream, asker) else { return };
        let home: Home = asker.origin.map(|origin| self.hasher.hash_one(origin));
        let mut crowds = self.lock();
        crowds.entry(stream).or_default().crowd.fetched(player, home, msn, newest, Instant::now());
    }

    /// Somebody is sent a playlist of the live `stream`.
    pub(crate) fn asked(&self, stream: StreamId, asker: &Asker, newest: Msn) {
        let Some(player) = self.player(stream, asker) else { return };
        if let Some(counted) = self.lock().get_mut(&stream) {
            counted.crowd.asked(player, newest, Instant::now());
        }
    }

    /// A ticket that is not ours, or another stream's, tells nobody from anybody. None for whom the api counts.
    fn player(&self, stream: StreamId, asker: &Asker) -> Option<Player> {
        let ticket = asker.ticket.as_deref();
        if ticket == Some(PRESENT) {
            return None;
        }
        Some(match ticket.and_then(|text| self.key.read(stream, text)) {
            Some(ticket) => Player::Ticketed(self.hasher.hash_one(ticket)),
            None => Player::Guessed(self.hasher.hash_one((asker.origin, &asker.agent))),
        })
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
        self.lock().retain(|stream, counted| {
            let count = u32::try_from(counted.crowd.count(now, self.settling)).unwrap_or(u32::MAX);
            if count != counted.recorded {
                self.audience.record(*stream, count);
                counted.recorded = count;
            }
            all = all.saturating_add(i64::from(count));
            !counted.crowd.is_empty()
        });
        self.metrics.viewers.set(all);
    }

    /// Held for single operations only, never across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Counted>> {
        self.crowds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
