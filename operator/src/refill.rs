//! Keeps each pool's warm workers: as many as its spec says, made from its newest template, and none that has ended.

mod failing;
mod foreign;
mod plan;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use caudal_controller::{Kind, Reconciled};
use caudal_kubernetes::WorkerPool;
use caudal_kubernetes::calls::{Failure, Haste, call_if, call_later};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::build::{self, PodSettings};
use crate::metrics::{Metrics, PoolCounts, PoolGauges};
use crate::pods::{Pods, WorkerPod, delete_unchanged};
use crate::pools::Pools;
use crate::records::MANAGER;
use crate::server_clock::TermClock;
use failing::{Failing, STUCK_SECONDS};
use foreign::Foreign;
use plan::{Plan, Seen, plan};

/// Whoever leads runs it.
pub(crate) struct Refill {
    pods_api: Api<Pod>,
    pools_api: Api<WorkerPool>,
    pods: Pods,
    pools: Pools,
    settings: PodSettings,
    metrics: Metrics,
    gauges: PoolGauges,
    /// By pool.
    failing: HashMap<String, Failing>,
    foreign: Foreign,
    /// By it pods are as old as they are, and who reads a condition goes by it.
    clock: TermClock,
}

impl Refill {
    pub(crate) fn new(
        client: &Client,
        pods: Pods,
        pools: Pools,
        settings: PodSettings,
        metrics: Metrics,
        clock: TermClock,
    ) -> Self {
        Self {
            pods_api: Api::namespaced(client.clone(), &settings.namespace),
            pools_api: Api::namespaced(client.clone(), &settings.namespace),
            pods,
            pools,
            settings,
            gauges: metrics.pools(),
            metrics,
            failing: HashMap::new(),
            foreign: Foreign::default(),
            clock,
        }
    }

    /// Looks at all pools whenever something of them or of their pods changes, each second at most; never ends.
    pub(crate) async fn run(mut self) {
        self.pods.whole().await;
        let mut changes = self.pods.subscribe();
        loop {
            changes.borrow_and_update();
            let mut counts = Vec::new();
            for pool in self.pools.all() {
                let Some(name) = pool.metadata.name.clone() else { continue };
                let begun = Instant::now();
                let (counted, outcome) = self.look(&name, &pool).await;
                self.metrics.streams.reconciled(Kind::Pool, outcome, begun.elapsed());
                counts.push((name, counted));
            }
            self.gauges.show(&counts);
            sleep(EACH).await;
            // Pools change too, and time alone makes a surplus old enough.
            let _ = timeout(AT_LEAST, changes.changed()).await;
        }
    }

    /// How the pool stood, and what came of the look.
    async fn look(&mut self, name: &str, pool: &WorkerPool) -> (PoolCounts, Reconciled) {
        let (pods, foreign): (Vec<_>, _) = self.pods.of_pool(name).into_iter().partition(|pod| pod.ours);
        self.look_at_names(name).await;
        let mut foreign: BTreeSet<_> = foreign.iter().map(|pod| pod.name.clone()).collect();
        self.foreign.tell(name, &foreign);
        foreign.extend(self.pods.names_in_the_way(name));
        let hash = build::hash(pool, &self.settings);
        let Plan { create, delete, failed, missing, mut status } =
            self.plan(pool, name, &hash, &pods, foreign);
        let counts =
            PoolCounts { idle: status.idle, starting: status.starting, claimed: status.claimed, missing };
        let mut outcome = Reconciled::Unchanged;
        let failing = self.failing.entry(name.to_owned()).or_default();
        let failed = failed.iter().map(AsRef::as_ref);
        if let Some(pause) = failing.failed(failed, self.clock.seconds(), Instant::now()) {
            tracing::warn!(
                pool = name,
                ?pause,
                "warm workers have ended or did not come up; the next ones after a pause"
            );
        }
        for pod in &delete {
            if pod.stray {
                tracing::warn!(
                    pool = name,
                    pod = pod.name,
                    "a worker's labels say neither that it waits nor that it has a broadcast; it is deleted"
                );
            }
            outcome = outcome.max(Reconciled::Changed);
            if let Err(error) = delete_unchanged(&self.pods_api, &self.pods, pod).await {
                outcome = Reconciled::Failed;
                tracing::debug!(%error, pod = pod.name, "a worker that nobody needs cannot be deleted now");
            }
        }
        outcome = outcome.max(self.create_all(pool, name, &create).await);
        let failing = self.failing.entry(name.to_owned()).or_default();
        let ready = pods.iter().filter(|pod| pod.hash == hash && pod.is_claimable());
        failing.came_up(ready.map(|pod| pod.created).max());
        if let Some((reason, words)) = failing.words() {
            plan::say(&mut status, reason, &words);
        }
        plan::keep_times(&mut status, pool.status.as_ref());
        if pool.status.as_ref() != Some(&status) {
            let patch = Patch::Merge(json!({ "status": status }));
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            outcome = outcome.max(Reconciled::Changed);
            if let Err(error) = call_later(self.pools_api.patch_status(name, &params, &patch)).await {
                outcome = Reconciled::Failed;
                tracing::debug!(%error, pool = name, "the pool's status cannot be written now");
            }
        }
        (counts, outcome)
    }

    fn plan(
        &self,
        pool: &WorkerPool,
        name: &str,
        hash: &str,
        pods: &[Arc<WorkerPod>],
        foreign: BTreeSet<String>,
    ) -> Plan {
        let must_leave = |pod: &WorkerPod| self.pods.must_leave(pod);
        let seen = Seen {
            foreign,
            hash,
            now: self.clock.seconds(),
            stuck_seconds: self.failing.get(name).map_or(STUCK_SECONDS, Failing::stuck_seconds),
            must_leave: self.pods.nodes_are_known().then_some(&must_leave),
        };
        plan(pool, pods, &seen)
    }

    /// Makes warm workers in these places, unless those before did not come up or could not be made just now.
    async fn create_all(&mut self, pool: &WorkerPool, name: &str, places: &[u32]) -> Reconciled {
        let failing = self.failing.entry(name.to_owned()).or_default();
        if places.is_empty() {
            failing.made();
        }
        if places.is_empty() || failing.waits(Instant::now()) {
            return Reconciled::Unchanged;
        }
        let mut failure = None;
        for place in places {
            if let Err(error) = self.create(pool, name, *place).await {
                failure = Some(error);
                break;
            }
        }
        let failing = self.failing.entry(name.to_owned()).or_default();
        let Some(error) = failure else {
            failing.made();
            return Reconciled::Changed;
        };
        let words = error.to_string();
        if failing.not_made(error, Instant::now()) {
            tracing::warn!(
                error = words,
                pool = name,
                "a warm worker cannot be created now; trying on, ever less often"
            );
        } else {
            tracing::debug!(error = words, pool = name, "a warm worker still cannot be created");
        }
        Reconciled::Failed
    }

    async fn create(&self, pool: &WorkerPool, name: &str, place: u32) -> Result<(), Failure> {
        let pod = build::warm(pool, place, &self.settings);
        let pod_name = pod.metadata.name.clone().unwrap_or_default();
        let places = pool.spec.max_workers.saturating_add(pool.spec.move_surge);
        // Not before its turn: a publisher's worker would find the place taken by a pod that nobody has made yet.
        let there_is_room = || self.pods.expect(&pod_name, name, places);
        let params = PostParams::default();
        let created = call_if(Haste::Later, there_is_room, self.pods_api.create(&params, &pod)).await;
        if let Ok(created) = &created {
            self.pods.wrote(created);
        }
        self.pods.answered(&pod_name);
        match created {
            // There was no room.
            Ok(_) | Err(Failure::Conflict) => Ok(()),
            Err(Failure::AlreadyExists) => self.look_who_has(&pod_name, name).await,
            Err(error) => Err(error),
        }
    }

    /// Of a worker of this pool, the watch will tell. Any other pod keeps its name, and the next look takes another place.
    async fn look_who_has(&self, pod_name: &str, pool: &str) -> Result<(), Failure> {
        match call_later(self.pods_api.get(pod_name)).await {
            Ok(found) => {
                self.pods.wrote(&found);
                if !is_worker(&found, pool) {
                    self.pods.in_the_way(pod_name, pool);
                }
                Ok(())
            }
            // It is gone by now.
            Err(Failure::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks from time to time whether the pods that have names of this pool's workers are still there: no watch tells of them.
    async fn look_at_names(&mut self, pool: &str) {
        for name in self.pods.names_in_the_way(pool) {
            if !self.foreign.is_due(&name, Instant::now()) {
                continue;
            }
            match call_later(self.pods_api.get(&name)).await {
                Ok(found) if !is_worker(&found, pool) => {}
                Ok(_) | Err(Failure::NotFound) => {
                    self.foreign.forget(&name);
                    self.pods.out_of_the_way(&name);
                }
                Err(error) => tracing::debug!(%error, pod = name, "cannot look for a pod that is in the way"),
            }
        }
    }
}

/// Whether a pod is one of this pool's workers.
fn is_worker(pod: &Pod, pool: &str) -> bool {
    WorkerPod::of(pod).is_some_and(|pod| pod.ours && pod.pool == pool)
}

const EACH: Duration = Duration::from_secs(1);
const AT_LEAST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
