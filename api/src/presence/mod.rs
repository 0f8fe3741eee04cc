//! Who watches by being there. A socket in a room counts its viewer for as long as it is open; a page without one says twice
//! a minute that it is there, which counts for [`BEACON`]. Tabs, devices and sockets of one person count once.
//!
//! * `viewer` – who that is: a person, or a browser by the number that we gave it; and their key for one stream
//! * `latency` – how late they see the picture, as their players tell
//! * `table` – who is here, in this replica, and how many there are elsewhere: a pure state
//! * `replicas` – what replicas tell each other through Redis
//!
//! Nothing is ever counted down for somebody else: what a replica no longer says lapses after [`SILENCE`]. So one that was
//! killed is forgotten, and while Redis is away each replica comes to count its own.

mod latency;
mod replicas;
mod table;
mod viewer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caudal_livestream::StreamId;
use chrono::Utc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::redis_store::RedisStore;
pub(crate) use latency::{Latencies, Latency};
use replicas::Replicas;
use table::Table;
pub(crate) use viewer::{Viewer, ViewerIds};
use viewer::{ViewerKey, Who};

/// Those who are there, in all streams.
pub(crate) struct Presence {
    ids: ViewerIds,
    // Held for single operations only, never across an await.
    table: Mutex<Table>,
    /// None where this is the only replica.
    replicas: Option<Replicas>,
}

impl Presence {
    pub(crate) fn new(ids: ViewerIds, redis: Option<RedisStore>) -> Self {
        Self { ids, table: Mutex::default(), replicas: redis.map(Replicas::new) }
    }

    pub(crate) fn ids(&self) -> &ViewerIds {
        &self.ids
    }

    /// Counts somebody in until the answer is dropped. The stream must be one that exists.
    pub(crate) fn enter(self: &Arc<Self>, stream: StreamId, viewer: Viewer) -> Present {
        let mut present = Present { presence: Arc::clone(self), stream, viewer, counted: None };
        present.count(viewer);
        present
    }

    /// Counts somebody for [`BEACON`]. The stream must be one that exists.
    pub(crate) fn beacon(&self, stream: StreamId, viewer: Viewer, now: Instant) {
        let key = self.ids.key(stream, viewer.who);
        self.table().beacon(stream, key, viewer.home(), now);
    }

    /// A viewer who is there told how late the picture is. False when it does not count.
    pub(crate) fn watches(&self, stream: StreamId, viewer: Viewer, latency: Latency, now: Instant) -> bool {
        self.table().watches(stream, self.ids.key(stream, viewer.who), latency, now)
    }

    /// What the viewers of a stream told, at all replicas as far as is known, as of the last round.
    pub(crate) fn latencies(&self, stream: StreamId, now: Instant) -> Latencies {
        self.table().latencies(stream, now)
    }

    /// The same of all live streams.
    pub(crate) fn all_latencies(&self, now: Instant) -> Latencies {
        self.table().all_latencies(now)
    }

    /// Whether somebody is counted there, so that it exists.
    pub(crate) fn knows(&self, stream: StreamId) -> bool {
        self.table().knows(stream)
    }

    /// How many are there, at all replicas as far as is known.
    pub(crate) fn viewers(&self, stream: StreamId, now: Instant) -> u32 {
        self.table().viewers(stream, now)
    }

    /// Which streams are live: somebody may ask for their viewers here, though nobody watches them here.
    pub(crate) fn look_at(&self, live: Vec<StreamId>) {
        self.table().look_at(live);
    }

    /// Forgets who has left and hears of the other replicas, until `shutdown`.
    pub(crate) async fn keep(&self, every: Duration, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let keeping = async {
            loop {
                ticks.tick().await;
                self.exchange(Instant::now(), Utc::now().timestamp_millis()).await;
            }
        };
        shutdown.run_until_cancelled(keeping).await;
    }

    /// One round. `clock` is `now` in milliseconds since 1970, by which replicas compare what they say.
    async fn exchange(&self, now: Instant, clock: i64) {
        let Some(replicas) = &self.replicas else { return self.table().sweep(now) };
        let letters = {
            let mut table = self.table();
            table.sweep(now);
            table.letters(clock)
        };
        for (letter, answer) in replicas.exchange(letters, clock).await {
            match answer {
                Some(elsewhere) => self.table().heard(letter.stream, elsewhere, now),
                None => self.table().unsent(&letter),
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's being in a room, until it is dropped.
pub(crate) struct Present {
    presence: Arc<Presence>,
    stream: StreamId,
    viewer: Viewer,
    /// None when their address has its share already.
    counted: Option<ViewerKey>,
}

impl Present {
    /// They have said who they are: from now on they are that person, whom their other tabs and devices are too.
    pub(crate) fn is(&mut self, person: Uuid) {
        if self.viewer.who != Who::Person(person) {
            self.count(self.viewer.is(person));
        }
    }

    /// They told how late the picture is. False when it does not count.
    pub(crate) fn watches(&self, latency: Latency) -> bool {
        self.counted
            .is_some_and(|key| self.presence.table().watches(self.stream, key, latency, Instant::now()))
    }

    fn count(&mut self, viewer: Viewer) {
        let key = self.presence.ids.key(self.stream, viewer.who);
        let counted = self.presence.table().enter(self.stream, key, viewer.home());
        self.leave();
        self.viewer = viewer;
        self.counted = counted.then_some(key);
    }

    fn leave(&mut self) {
        if let Some(key) = self.counted.take() {
            self.presence.table().leave(self.stream, key, Instant::now());
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A page says that it is there each 30 s.
const BEACON: Duration = Duration::from_secs(45);
/// What a replica says counts for so long; it repeats it three times in that time.
const SILENCE: Duration = Duration::from_secs(45);
const REPEATED: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
