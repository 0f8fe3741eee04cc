//! Keeps each pool's warm workers: as many as its spec says, made from its newest template, and none that has ended.

mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_controller::{Kind, Reconciled};
use caudal_kubernetes::WorkerPool;
use caudal_kubernetes::calls::{Failure, Haste, call_if, call_later};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::build::{self, PodSettings};
use crate::metrics::{Metrics, PoolCounts, PoolGauges};
use crate::pods::{Pods, WorkerPod};
use crate::pools::Pools;
use crate::records::MANAGER;
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
}

/// A pool whose workers do not come up.
struct Failing {
    failures: u32,
    not_before: Instant,
}

impl Refill {
    pub(crate) fn new(
        client: &Client,
        pods: Pods,
        pools: Pools,
        settings: PodSettings,
        metrics: Metrics,
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
        let pods = self.pods.of_pool(name);
        let Plan { create, delete, missing, mut status } = self.plan(pool, &pods);
        let counts =
            PoolCounts { idle: status.idle, starting: status.starting, claimed: status.claimed, missing };
        let mut outcome = Reconciled::Unchanged;
        for pod in &delete {
            if pod.ended {
                self.failed(name, pod);
            }
            outcome = outcome.max(Reconciled::Changed);
            if let Err(error) = self.delete(pod).await {
                outcome = Reconciled::Failed;
                tracing::debug!(%error, pod = pod.name, "a worker that nobody needs cannot be deleted now");
            }
        }
        let waits = self.failing.get(name).is_some_and(|failing| Instant::now() < failing.not_before);
        for place in create.into_iter().filter(|_| !waits) {
            outcome = outcome.max(Reconciled::Changed);
            if let Err(error) = self.create(pool, name, place).await {
                outcome = Reconciled::Failed;
                tracing::warn!(%error, pool = name, "a warm worker cannot be created now");
                plan::say(&mut status, "CannotCreate", &error.to_string());
                break;
            }
        }
        if status.idle > 0 {
            self.failing.remove(name);
        } else if let Some(failing) = self.failing.get(name) {
            let words = format!("{} workers in a row ended before anybody needed them", failing.failures);
            plan::say(&mut status, "WorkersFail", &words);
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

    fn plan(&self, pool: &WorkerPool, pods: &[Arc<WorkerPod>]) -> Plan {
        let must_leave = |pod: &WorkerPod| self.pods.must_leave(pod);
        let seen = Seen {
            hash: &build::hash(pool, &self.settings),
            now: Timestamp::now().as_second(),
            must_leave: self.pods.nodes_are_known().then_some(&must_leave),
        };
        plan(pool, pods, &seen)
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
            // The watch will tell of it; or there was no room.
            Ok(_) | Err(Failure::AlreadyExists | Failure::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// As it is known: one that was claimed meanwhile has another version, and stays.
    async fn delete(&self, pod: &WorkerPod) -> Result<(), Failure> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(pod.worker.to_string()),
                resource_version: Some(pod.version.to_string()),
            }),
            ..DeleteParams::background()
        };
        match call_later(self.pods_api.delete(&pod.name, &params)).await {
            Ok(_) | Err(Failure::Conflict) => Ok(()),
            Err(Failure::NotFound) => {
                self.pods.vanished(&pod.name);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn failed(&mut self, pool: &str, pod: &WorkerPod) {
        let now = Instant::now();
        let failing = self.failing.entry(pool.to_owned()).or_insert(Failing { failures: 0, not_before: now });
        failing.failures = failing.failures.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << failing.failures.min(10)).min(LONGEST_PAUSE);
        failing.not_before = now + pause;
        tracing::warn!(pool, pod = pod.name, ?pause, "a warm worker has ended; the next one after a pause");
    }
}

const EACH: Duration = Duration::from_secs(1);
const AT_LEAST: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
