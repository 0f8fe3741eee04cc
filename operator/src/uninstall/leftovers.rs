//! What did not end in time: workers that nobody will end, and finalizers that nobody will take off.

use std::collections::HashSet;

use caudal_kubernetes::calls::{Failure, call, call_for_many};
use caudal_kubernetes::{LiveStream, names};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::Instant;

use super::persisting::persist;
use super::{MANAGER, UninstallError};
use crate::letting_go::{AT_ONCE, let_go_of};
use crate::pods::WorkerPod;

/// What is let go of, and by when.
pub(super) struct Leftovers<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    pub(super) by: Instant,
}

impl Leftovers<'_> {
    /// Deletes all workers, idle ones too, and only then takes the finalizers off `open`: a broadcast whose worker runs on is still held.
    /// Goes through all of it, and tells what could not be done.
    pub(super) async fn let_go(
        &self,
        open: &[String],
        tell: &mut impl FnMut(String),
    ) -> Result<(), UninstallError> {
        tell(format!(
            "broadcasts that did not end in time: {}; no operator runs, the api does not answer it, or they are paused",
            open.len()
        ));
        let workers = self.workers(tell).await.map_err(|failure| UninstallError::Broadcasts { failure })?;
        let (undeleted, running) = self.delete_all(&workers, tell).await;
        let unreleased = self.release_all(open, &running, tell).await;
        match undeleted + unreleased {
            0 => Ok(()),
            left => Err(UninstallError::Left { left, all: workers.len() + open.len() }),
        }
    }

    /// Deletes the workers. How many could not be, and the LiveStreams that they may run on for.
    async fn delete_all(
        &self,
        workers: &[WorkerPod],
        tell: &mut impl FnMut(String),
    ) -> (usize, HashSet<String>) {
        let namespace = self.namespace;
        let (mut left, mut running) = (0, HashSet::new());
        let deleting = workers.iter().map(|worker| async move { (worker, self.delete(worker).await) });
        let deleted: Vec<_> = futures::stream::iter(deleting).buffer_unordered(AT_ONCE).collect().await;
        for (worker, outcome) in deleted {
            let stream = worker.claim.map(|(stream, _)| names::live_stream(stream));
            let whose = stream.as_ref().map_or_else(|| "idle".to_owned(), |stream| format!("of {stream}"));
            let worker = &worker.name;
            match outcome {
                Ok(()) => tell(format!("deleted the worker {worker} ({whose})")),
                Err(error) => {
                    left += 1;
                    running.extend(stream);
                    tell(format!(
                        "the worker {worker} ({whose}) could not be deleted: {error}; type: kubectl -n {namespace} delete pod {worker}"
                    ));
                }
            }
        }
        (left, running)
    }

    /// Takes the finalizers off those that no worker is `running` for. How many are still held.
    async fn release_all(
        &self,
        open: &[String],
        running: &HashSet<String>,
        tell: &mut impl FnMut(String),
    ) -> usize {
        let (held, free): (Vec<_>, Vec<_>) = open.iter().partition(|stream| running.contains(*stream));
        let releasing =
            free.into_iter().map(|stream| async move { (stream, self.release(stream).await.err()) });
        let released: Vec<_> = futures::stream::iter(releasing).buffer_unordered(AT_ONCE).collect().await;
        let released =
            released.into_iter().map(|(stream, error)| (stream, error.map(|error| error.to_string())));
        let held = held.into_iter().map(|stream| (stream, Some("its worker may run on".to_owned())));
        let mut left = 0;
        for (stream, why) in released.chain(held) {
            let Some(why) = why else {
                tell(format!("{stream}: let go of"));
                continue;
            };
            left += 1;
            tell(format!(
                "{stream}: could not be let go of: {why}; type: kubectl -n {namespace} patch lst {stream} --type=merge --patch '{patch}'",
                namespace = self.namespace,
                patch = r#"{"metadata":{"finalizers":null}}"#
            ));
        }
        left
    }

    /// The workers' pods. Any other that has a worker's labels is somebody else's, and stays.
    async fn workers(&self, tell: &mut impl FnMut(String)) -> Result<Vec<WorkerPod>, Failure> {
        let pods = self.pods();
        let all = ListParams::default().labels(names::STATE_LABEL);
        let pods = persist(self.by, async || call_for_many(pods.list_metadata(&all)).await).await?;
        let mut workers = Vec::new();
        for pod in pods.items {
            let name = pod.name_any();
            match WorkerPod::of(&Pod { metadata: pod.metadata, ..Pod::default() }) {
                Some(worker) if worker.ours => workers.push(worker),
                _ => tell(format!("left alone: pod {name} has a worker's labels and is none")),
            }
        }
        Ok(workers)
    }

    async fn delete(&self, worker: &WorkerPod) -> Result<(), Failure> {
        let pods = self.pods();
        let preconditions = Preconditions { uid: Some(worker.worker.to_string()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        persist(self.by, async || match call(pods.delete(&worker.name, &params)).await {
            // Or another pod has its name by now.
            Ok(_) | Err(Failure::NotFound | Failure::Conflict) => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }

    async fn release(&self, stream: &str) -> Result<(), Failure> {
        let streams: Api<LiveStream> = Api::namespaced(self.client.clone(), self.namespace);
        persist(self.by, async || let_go_of(&streams, stream, MANAGER).await).await
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}
