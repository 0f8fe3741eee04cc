//! Collects workers that were claimed for a LiveStream that is not there, or for another one than that of the same name: nobody else will
//! end them, and they have places in their pools until somebody does. Kubernetes' garbage collector takes most of them. It leaves those
//! whose owner is there, as of an idle worker that a person has given a claimed one's labels.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use caudal_kubernetes::calls::{Failure, call_later};
use caudal_kubernetes::{LiveStream, names};
use caudal_livestream::{StreamId, WorkerId};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _};
use tokio::time::{Instant, sleep};

use crate::pods::{Pods, WorkerPod, delete_unchanged};
use crate::pools::Pools;
use crate::records::LiveStreams;
use caudal_kubernetes::names::is_paused;

/// Whoever leads runs it.
pub(crate) struct Orphans {
    pods_api: Api<Pod>,
    streams_api: Api<LiveStream>,
    pods: Pods,
    pools: Pools,
    streams: LiveStreams,
    suspects: Suspects,
}

impl Orphans {
    pub(crate) fn new(
        client: &Client,
        namespace: &str,
        pods: Pods,
        pools: Pools,
        streams: LiveStreams,
    ) -> Self {
        Self {
            pods_api: Api::namespaced(client.clone(), namespace),
            streams_api: Api::namespaced(client.clone(), namespace),
            pods,
            pools,
            streams,
            suspects: Suspects::default(),
        }
    }

    /// Looks again and again; never ends.
    pub(crate) async fn run(mut self) {
        loop {
            sleep(EACH).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let claimed = self.pods.all_claimed().into_iter();
        let without: Vec<_> = claimed.filter(|(stream, pod)| self.is_without_stream(*stream, pod)).collect();
        let due = self.suspects.due(without.iter().map(|(_, pod)| pod.worker).collect(), Instant::now());
        for (stream, pod) in without.into_iter().filter(|(_, pod)| due.contains(&pod.worker)) {
            if let Err(error) = self.collect(stream, &pod).await {
                tracing::debug!(%error, %stream, pod = pod.name, "a worker that has no LiveStream cannot be deleted now");
            }
        }
    }

    /// As far as the copy of the LiveStreams knows, which may be late.
    fn is_without_stream(&self, stream: StreamId, pod: &WorkerPod) -> bool {
        let paused = self.pools.get(&pod.pool).is_some_and(|pool| is_paused(pool.as_ref()));
        !paused && !pod.leaving && self.streams.uid(stream) != pod.owner
    }

    /// Deletes it, unless the server has the LiveStream that it is claimed for, or somebody has changed the pod meanwhile.
    async fn collect(&self, stream: StreamId, pod: &WorkerPod) -> Result<(), Failure> {
        match call_later(self.streams_api.get_metadata(&names::live_stream(stream))).await {
            Ok(found) if found.uid() == pod.owner => return Ok(()),
            Ok(_) | Err(Failure::NotFound) => {}
            Err(error) => return Err(error),
        }
        tracing::warn!(%stream, pod = pod.name, "a worker is claimed for a LiveStream that is not there; it is deleted");
        delete_unchanged(&self.pods_api, &self.pods, pod).await
    }
}

/// Workers without a LiveStream, and since when.
#[derive(Default)]
struct Suspects(HashMap<WorkerId, Instant>);

impl Suspects {
    /// Those of `there`, all that have none now, that have had none for long enough.
    fn due(&mut self, there: HashSet<WorkerId>, now: Instant) -> HashSet<WorkerId> {
        self.0.retain(|worker, _| there.contains(worker));
        let mut since = |worker: &WorkerId| *self.0.entry(*worker).or_insert(now);
        there.into_iter().filter(|worker| now.duration_since(since(worker)) >= PATIENCE).collect()
    }
}

const EACH: Duration = Duration::from_secs(10);
/// A watch that broke is noticed within 35 s, and what it missed is listed then; the server is asked all the same.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
