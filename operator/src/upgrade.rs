//! Moves live broadcasts off workers that were made before their pool's template, or the release's image, changed: few a minute, since each
//! is worth two workers for some seconds.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::record::Phase;
use tokio::time::Instant;

use crate::build::{self, PodSettings};
use crate::departures::{Departures, Leaving, Why};
use crate::drain::on_emptied_nodes;
use crate::pauses::Pauses;
use crate::pods::{Pods, WorkerPod};
use crate::pools::Pools;
use crate::records::LiveStreams;
use plan::{Pace, has_place, is_outdated};

/// Whoever leads runs it.
pub(crate) struct Upgrade {
    pub(crate) pods: Pods,
    pub(crate) pools: Pools,
    pub(crate) streams: LiveStreams,
    pub(crate) pauses: Pauses,
    pub(crate) settings: PodSettings,
    pub(crate) departures: Departures,
}

impl Upgrade {
    /// Looks each second, and begins so many moves a minute, at most; never ends.
    pub(crate) async fn run(mut self, moves_per_minute: u32) {
        let mut pace = Pace::new(moves_per_minute, Instant::now());
        loop {
            self.departures.take_in(EACH).await;
            self.look(&mut pace);
        }
    }

    fn look(&mut self, pace: &mut Pace) {
        let outdated = self.pods.claimed().into_iter().filter_map(|pod| self.outdated(&pod)).collect();
        let due = self.departures.due(outdated);
        // Who empties a node waits for that; nobody waits for this.
        if !on_emptied_nodes(&self.pods, &self.streams, &self.pauses).is_empty() {
            return;
        }
        let due = due.into_iter().filter(|(leaving, _)| self.may_leave(leaving)).collect();
        if let Some((leaving, attempt)) = pace.next(due, Instant::now()) {
            self.departures.begin(leaving, attempt);
        }
    }

    /// The broadcast of a worker that another one would be made in place of now.
    fn outdated(&self, pod: &Arc<WorkerPod>) -> Option<Leaving> {
        let (stream, _) = pod.claim?;
        let pool = self.pauses.pool(stream);
        let of_pool = self.pools.get(&pool)?;
        let outdated = is_outdated(pod, &of_pool, &self.streams.renditions(stream), &self.settings);
        let serves = self.streams.worker(stream) == Some(pod.worker);
        let may = serves && self.pods.must_leave(pod).is_none() && !self.pauses.holds(stream);
        (may && outdated).then_some(Leaving { stream, why: Why::Outdated { pool } })
    }

    /// Whether its publisher is there, nobody moves it already, and its pool has a place.
    fn may_leave(&self, leaving: &Leaving) -> bool {
        let status = self.streams.resource(leaving.stream).and_then(|resource| resource.status);
        let is_live = status.is_some_and(|status| status.phase == Phase::Live && status.next.is_none());
        let name = self.pauses.pool(leaving.stream);
        let Some(pool) = self.pools.get(&name) else { return false };
        let under_way = self.departures.under_way().filter(|stream| self.pauses.pool(*stream) == name);
        let hash = build::hash(&pool, &self.settings);
        is_live && has_place(&pool, &hash, &self.pods.of_pool(&name), under_way.count())
    }
}

/// Often enough for the fastest pace that may be set.
const EACH: Duration = Duration::from_secs(1);
