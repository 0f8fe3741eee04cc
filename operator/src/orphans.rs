//! Collects workers that nobody else will end, and that have places in their pools until somebody does: those that were claimed for a
//! LiveStream that is not there, or for another one than that of the same name, and those of whom their broadcast knows nothing.
//! Kubernetes' garbage collector takes most of the former. It leaves those whose owner is there, as of an idle worker that a person has given
//! a claimed one's labels.

mod surplus;

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
use surplus::surplus;

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
        let unwanted: Vec<_> =
            claimed.filter_map(|(stream, pod)| Some((self.unwanted(stream, &pod)?, stream, pod))).collect();
        let due = self.suspects.due(unwanted.iter().map(|(_, _, pod)| pod.worker).collect(), Instant::now());
        // What is over stays so: neither the copy nor a claim under way will make it want a worker.
        let is_due = |why: Unwanted, pod: &WorkerPod| why == Unwanted::Over || due.contains(&pod.worker);
        for (_, stream, pod) in unwanted.into_iter().filter(|(why, _, pod)| is_due(*why, pod)) {
            if let Err(error) = self.collect(stream, &pod).await {
                tracing::debug!(%error, %stream, pod = pod.name, "a worker that nobody wants cannot be deleted now");
            }
        }
    }

    /// As far as the copy of the LiveStreams knows, which may be late.
    fn unwanted(&self, stream: StreamId, pod: &WorkerPod) -> Option<Unwanted> {
        if pod.leaving || self.pools.is_paused(&pod.pool) {
            return None;
        }
        Unwanted::of(self.streams.resource(stream).as_ref(), pod)
    }

    /// Deletes it, unless the server's LiveStream wants it, or somebody has changed the pod meanwhile.
    async fn collect(&self, stream: StreamId, pod: &WorkerPod) -> Result<(), Failure> {
        let found = match call_later(self.streams_api.get(&names::live_stream(stream))).await {
            Ok(found) => Some(found),
            Err(Failure::NotFound) => None,
            Err(error) => return Err(error),
        };
        let Some(why) = Unwanted::of(found.as_ref(), pod) else { return Ok(()) };
        tracing::warn!(%stream, pod = pod.name, "{}; it is deleted", why.in_words());
        delete_unchanged(&self.pods_api, &self.pods, pod).await
    }
}

/// Why nobody wants a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unwanted {
    WithoutStream,
    /// Its broadcast has, is getting and is to end others.
    Surplus,
    Over,
}

impl Unwanted {
    /// None while its LiveStream may want it.
    fn of(resource: Option<&LiveStream>, pod: &WorkerPod) -> Option<Self> {
        match resource {
            Some(resource) if resource.uid() == pod.owner => surplus(resource, pod),
            _ => Some(Self::WithoutStream),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::WithoutStream => "a worker is claimed for a LiveStream that is not there",
            Self::Surplus => "a worker is claimed for a broadcast that knows nothing of it",
            Self::Over => "a worker is claimed for a broadcast that is over",
        }
    }
}

/// Workers that nobody wants, and since when.
#[derive(Default)]
struct Suspects(HashMap<WorkerId, Instant>);

impl Suspects {
    /// Those of `there`, all that are such now, that have been such for long enough.
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
pub(crate) mod tests;
