//! Whether a worker is there, and ending it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use caudal_controller::Presence;
use caudal_kubernetes::names::STREAM_LABEL;
use caudal_livestream::{StreamId, WorkerId};
use kube::api::{DeleteParams, ListParams, Preconditions};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{ASK_AGAIN, PATIENCE, Shared};
use crate::pods::{Known, WorkerPod};
use caudal_kubernetes::calls::{Failure, Haste, call, call_for_many, call_if};

/// The last look at which workers the server has. A worker that no watch has told of is gone only when the server says so.
#[derive(Default)]
pub(super) struct Looks(Mutex<Option<Look>>);

struct Look {
    begun: Instant,
    there: HashSet<WorkerId>,
}

impl Shared {
    pub(super) async fn until_gone(&self, worker: WorkerId) -> Presence {
        let mut changes = self.pods.subscribe();
        loop {
            match self.pods.known(worker) {
                Known::Gone => return Presence::Gone,
                Known::Unknown => return self.look_for(worker).await,
                Known::There(_) => {}
            }
            let _ = changes.changed().await;
        }
    }

    /// Ends a worker, and waits until its process has ended, or its pod is given up. Nobody else deletes the pod of one that has ended by
    /// itself.
    pub(super) async fn end(&self, worker: WorkerId) -> Presence {
        let mut changes = self.pods.subscribe();
        loop {
            let pod = match self.pods.known(worker) {
                Known::Gone => match self.pods.left_over(worker) {
                    Some(pod) => pod,
                    None => return Presence::Gone,
                },
                Known::Unknown => return self.look_for(worker).await,
                Known::There(pod) if pod.leaving => {
                    if self.pods.now().is_some_and(|now| pod.is_given_up(now)) {
                        tracing::warn!(
                            pod = pod.name,
                            "a worker's pod does not go, because its node is lost; nobody waits for it any more"
                        );
                        return Presence::Gone;
                    }
                    let _ = timeout(LOOK_AT_LEAVING, changes.changed()).await;
                    continue;
                }
                Known::There(pod) => pod,
            };
            match self.delete(&pod, Haste::Later).await {
                Ok(()) => {}
                // As where somebody has taken labels off it by which a policy knows what an operator may delete. Its broadcast waits for its
                // process alone, and what is left of the pod goes with its owner.
                Err(error @ (Failure::Refused(_) | Failure::Forbidden(_))) => {
                    if self.refusals.is_new(&pod) {
                        tracing::warn!(%error, pod = pod.name, "may not delete a worker's pod");
                    }
                    return if pod.ended { Presence::Gone } else { Presence::Unknown };
                }
                // Whoever wants it ended asks again.
                Err(error) => {
                    tracing::debug!(%error, pod = pod.name, "cannot delete a worker's pod");
                    return Presence::Unknown;
                }
            }
            // Where neither the answer nor the pod that was read again was news, the next try would be told the same.
            let is_as_it_was = |known: &Arc<WorkerPod>| known.version == pod.version && !known.leaving;
            if matches!(self.pods.known(worker), Known::There(known) if is_as_it_was(&known)) {
                sleep(ASK_AGAIN).await;
            }
        }
    }

    /// Deletes a pod as it is known, and not one that was changed since: then it is read again, and the caller decides anew.
    pub(super) async fn delete(&self, pod: &WorkerPod, haste: Haste) -> Result<(), Failure> {
        self.delete_if(pod, haste, || true).await
    }

    /// The same, if it is `still` wanted once the call has its turn.
    pub(super) async fn delete_if(
        &self,
        pod: &WorkerPod,
        haste: Haste,
        still: impl FnOnce() -> bool,
    ) -> Result<(), Failure> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(pod.worker.to_string()),
                resource_version: Some(pod.version.to_string()),
            }),
            ..DeleteParams::background()
        };
        match call_if(haste, still, self.api.delete(&pod.name, &params)).await {
            Err(Failure::NotFound) => {
                self.pods.vanished(&pod.name);
                Ok(())
            }
            // It is there for as long as its process runs, and the answer says how it stands.
            Ok(deleted) => match deleted.left() {
                Some(deleted) if deleted.metadata.deletion_timestamp.is_some() => {
                    self.pods.wrote(&deleted);
                    Ok(())
                }
                // One that no node has goes at once, and the answer is what it was like.
                Some(_) => {
                    self.pods.vanished(&pod.name);
                    Ok(())
                }
                None => self.read_again(pod).await,
            },
            Err(Failure::Conflict) => self.read_again(pod).await,
            Err(error) => Err(error),
        }
    }

    async fn read_again(&self, pod: &WorkerPod) -> Result<(), Failure> {
        match call(self.api.get(&pod.name)).await {
            Ok(found) => {
                self.pods.is_now(&found, pod.version);
                Ok(())
            }
            Err(Failure::NotFound) => {
                self.pods.vanished(&pod.name);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// All that were claimed for a stream, by the server's word, so that one that no watch has told of yet is among them.
    pub(super) async fn list_claimed_by(&self, stream: StreamId) -> Result<(), Failure> {
        let params = ListParams::default().labels(&format!("{STREAM_LABEL}={stream}"));
        let listed = call_for_many(self.api.list(&params)).await?;
        for pod in listed.items {
            self.pods.wrote(&pod);
        }
        Ok(())
    }

    /// Asks the server for a worker that no watch has told of. Many who ask at once are answered by one list.
    async fn look_for(&self, worker: WorkerId) -> Presence {
        let asked = Instant::now();
        let looked = async {
            let mut last = self.looks.0.lock().await;
            if let Some(look) = last.as_ref().filter(|look| look.begun < asked) {
                sleep_until(look.begun + BETWEEN_LOOKS).await;
            }
            if last.as_ref().is_none_or(|look| look.begun < asked) {
                let begun = Instant::now();
                // Also those that somebody has taken the labels off.
                let listed = call_for_many(self.api.list_metadata(&ListParams::default())).await?;
                let uids = listed.items.into_iter().filter_map(|pod| pod.metadata.uid?.parse().ok());
                *last = Some(Look { begun, there: uids.collect() });
            }
            Ok::<_, Failure>(last.as_ref().is_some_and(|look| look.there.contains(&worker)))
        };
        match timeout(PATIENCE, looked).await {
            Ok(Ok(false)) => {
                self.pods.absent(worker);
                Presence::Gone
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, %worker, "cannot look for a worker");
                Presence::Unknown
            }
            // The watch will tell of it, or the server is too slow to say.
            Ok(Ok(true)) | Err(_) => Presence::Unknown,
        }
    }
}

/// Whether a pod that leaves is to be given up is asked so often.
const LOOK_AT_LEAVING: Duration = Duration::from_mins(1);
/// After an outage, thousands may ask for theirs.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
