//! Workers as pods: a warm one is claimed by one guarded patch, or one is created under a name that its stream and epoch give it.

mod creation;
mod doubts;
mod leave;
mod network;
mod places;
mod presence;
mod prospect;
mod turns;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_controller::{ClaimError, Claimed, Pool, Presence, Start, Workers};
use caudal_kubernetes::WorkerPool;
use caudal_kubernetes::live_stream::Rung;
use caudal_kubernetes::names::cold_pods;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, StreamId, WorkerId};
use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::{self, PodSettings};
use crate::metrics::Metrics;
use crate::pods::{Fit, Known, Pods, Refusals, WorkerPod};
use crate::pools::Pools;
use crate::records::{LiveStreams, MANAGER};
use caudal_kubernetes::calls::{Failure, Haste, call, call_if};
use doubts::Doubts;
use leave::Leave;
use network::Network;
use places::Places;
use presence::Looks;
use prospect::Prospect;
use turns::Turns;

/// Who knows the resources that own workers.
pub trait Owners: Send + Sync + 'static {
    /// The uid of a stream's LiveStream; none when it is not known.
    fn uid(&self, stream: StreamId) -> Option<String>;

    /// The pool that it names.
    fn pool(&self, stream: StreamId) -> Option<String>;

    /// The renditions that a broadcast began with, and keeps.
    fn renditions(&self, stream: StreamId) -> Vec<Rung>;

    /// The broadcasts that are not over and name one of these pools.
    fn open(&self, pools: &[&str]) -> HashMap<StreamId, Progress>;

    /// Whether a broadcast has a worker: what is claimed for it is for a move then.
    fn has_worker(&self, stream: StreamId) -> bool;
}

/// How far a broadcast has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It never had a worker, as far as its LiveStream says.
    New,
    /// It has or had one.
    Begun,
}

impl Owners for LiveStreams {
    fn uid(&self, stream: StreamId) -> Option<String> {
        Self::uid(self, stream)
    }

    fn pool(&self, stream: StreamId) -> Option<String> {
        Self::pool(self, stream)
    }

    fn renditions(&self, stream: StreamId) -> Vec<Rung> {
        Self::renditions(self, stream)
    }

    fn open(&self, pools: &[&str]) -> HashMap<StreamId, Progress> {
        Self::open(self, pools)
    }

    fn has_worker(&self, stream: StreamId) -> bool {
        self.worker(stream).is_some()
    }
}

/// The workers of a namespace.
#[derive(Clone)]
pub struct PodWorkers {
    shared: Arc<Shared>,
}

struct Shared {
    api: Api<Pod>,
    pods: Pods,
    pools: Pools,
    owners: Arc<dyn Owners>,
    settings: PodSettings,
    metrics: Metrics,
    network: Network,
    /// One claim of a stream at a time; a withdrawal waits for its turn, and keeps it from nobody.
    turns: Turns,
    places: Places,
    looks: Looks,
    doubts: Doubts,
    /// Of deletions.
    refusals: Refusals,
    /// Claims whose answers were lost. They may have been made, so nothing else is tried before that is known.
    unsure: Mutex<HashMap<(StreamId, Epoch), Arc<WorkerPod>>>,
    tasks: TaskTracker,
}

impl PodWorkers {
    /// The workers of `settings.namespace`, as far as `pods` and `pools` are kept as they are.
    pub fn new(
        client: Client,
        pods: Pods,
        pools: Pools,
        owners: Arc<dyn Owners>,
        settings: PodSettings,
        metrics: Metrics,
    ) -> Self {
        Self::over(Network::default(), client, pods, pools, owners, settings, metrics)
    }

    fn over(
        network: Network,
        client: Client,
        pods: Pods,
        pools: Pools,
        owners: Arc<dyn Owners>,
        settings: PodSettings,
        metrics: Metrics,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                api: Api::namespaced(client, &settings.namespace),
                pods,
                pools,
                owners,
                settings,
                metrics,
                network,
                turns: Turns::default(),
                places: Places::default(),
                looks: Looks::default(),
                doubts: Doubts::default(),
                refusals: Refusals::default(),
                unsure: Mutex::default(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Waits for claims that were begun, each for a few calls at most.
    pub async fn close(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Workers for PodWorkers {
    fn claim(
        &self,
        stream: StreamId,
        epoch: Epoch,
        pool: &Pool,
    ) -> BoxFuture<'static, Result<Claimed, ClaimError>> {
        let (shared, pool) = (Arc::clone(&self.shared), pool.0.clone());
        Box::pin(async move {
            // Who gives the claim up may withdraw it at once, so what was begun is brought to its end, and nothing is begun after.
            let given_up = CancellationToken::new();
            let _giving_up = given_up.clone().drop_guard();
            let claiming = Arc::clone(&shared).claim(stream, epoch, pool, given_up);
            let claimed = shared.tasks.spawn(claiming).await;
            let pod = claimed.map_err(|error| ClaimError::Unavailable(error.to_string()))??;
            // The same for every claim of this epoch, whoever makes it.
            let made = cold_pods(stream, epoch).contains(&pod.name);
            let start = if made { Start::Cold } else { Start::Warm };
            let worker = shared.until_it_listens(&pod).await?;
            Ok(Claimed { worker, start })
        })
    }

    fn exited(&self, worker: WorkerId) -> BoxFuture<'static, Presence> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.until_gone(worker).await })
    }

    fn release(&self, worker: WorkerId) -> BoxFuture<'static, Presence> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.end(worker).await })
    }

    fn withdraw_claim(&self, stream: StreamId, epoch: Epoch) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.withdraw(stream, |claimed| claimed == epoch).await })
    }

    fn withdraw(&self, stream: StreamId) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.withdraw(stream, |_| true).await })
    }
}

impl Shared {
    async fn claim(
        self: Arc<Self>,
        stream: StreamId,
        epoch: Epoch,
        pool: String,
        given_up: CancellationToken,
    ) -> Result<Arc<WorkerPod>, ClaimError> {
        if timeout(PATIENCE, self.pods.whole()).await.is_err() {
            return Err(ClaimError::Unavailable(
                "the pods that there are have not been listed yet".to_owned(),
            ));
        }
        let Ok(_turn) = timeout(PATIENCE, self.turns.of(stream)).await else {
            return Err(ClaimError::Unavailable(
                "an earlier claim of its broadcast still waits for the API server".to_owned(),
            ));
        };
        if given_up.is_cancelled() {
            return Err(not_wanted());
        }
        let owner = self.owners.uid(stream);
        let before = match self.pods.claimed_for(stream, epoch, owner.as_deref()) {
            Some(pod) => self.claimed_before(pod).await?,
            None => None,
        };
        let now = self.pods.now();
        let before = match before.map(|pod| (Prospect::of(&pod, now), pod)) {
            Some((Prospect::Comes, pod)) => return Ok(pod),
            before => before,
        };
        let owner =
            owner.ok_or_else(|| ClaimError::Unavailable("its LiveStream is not known yet".to_owned()))?;
        let name = self.owners.pool(stream).unwrap_or_else(|| pool.clone());
        let of_pool = self.pools.get(&name);
        let of_pool =
            of_pool.ok_or_else(|| ClaimError::Unavailable(format!("there is no WorkerPool {name}")))?;
        let broadcasts = self.place(stream, epoch, &name, &pool, of_pool.spec.max_workers)?;
        let pool = of_pool;
        let mut doubted = self.pods.nodes_of(stream);
        doubted.append(&mut self.doubts.nodes());
        let instead_of = before.clone();
        let (owner, given_up) = (&owner, &given_up);
        let (renditions, left) = (self.owners.renditions(stream), None);
        let mut claim =
            Claim { stream, epoch, owner, renditions, doubted, broadcasts, given_up, instead_of, left };
        if let Some(claimed) = self.claim_idle(&pool, &mut claim).await? {
            return Ok(claimed);
        }
        // Behind the last name there is none for another pod.
        let is_last = |pod: &WorkerPod| cold_pods(stream, epoch).last() == Some(&pod.name);
        if let Some((prospect, pod)) = before
            && claim.instead_of.is_some()
            && (prospect == Prospect::Late || is_last(&pod))
        {
            return Ok(pod);
        }
        match self.leave(&mut claim).await? {
            Leave::Kept(pod) => Ok(pod),
            Leave::Left => Box::pin(self.create(&pool, &claim)).await,
        }
    }

    /// A place for the broadcast among those that the pool may have, which it keeps until it is over; returns how many have one. A first
    /// worker is made or claimed for none that has no place. Routers that count at the same moment may have let in one too many: that one
    /// waits, in case that another one ends, and after ten seconds it ends as `no_capacity`, which its publisher is told. So it takes nothing
    /// of the surge, which is there for moves and for workers in place of lost ones.
    fn place(
        &self,
        stream: StreamId,
        epoch: Epoch,
        pool: &str,
        default: &str,
        most: u32,
    ) -> Result<u32, ClaimError> {
        let names = [pool, if pool == default { "" } else { pool }];
        let mut open = self.owners.open(&names);
        // Also one that has ended: its broadcast is to get another.
        for (claimed, _) in self.pods.all_claimed() {
            open.entry(claimed).and_modify(|progress| *progress = Progress::Begun);
        }
        if epoch > FIRST {
            // Whatever became of its pods since.
            open.insert(stream, Progress::Begun);
        }
        self.places.take(stream, pool, &open, most).ok_or_else(|| {
            tracing::debug!(%stream, pool, most, "a broadcast finds no place in its pool, and waits for one");
            ClaimError::NoCapacity(format!("as many broadcasts are open as pool {pool} may have"))
        })
    }

    /// Makes an idle pod the stream's, if there is one to be had that is large enough and takes a connection: Kubernetes calls the workers of a machine
    /// that is gone ready for 40 s more, and an assignment to one of them would take longer than a new pod. Adds the nodes of those
    /// that took none to the claim's doubted ones.
    async fn claim_idle(
        &self,
        pool: &WorkerPool,
        claim: &mut Claim<'_>,
    ) -> Result<Option<Arc<WorkerPod>>, ClaimError> {
        let name = pool.metadata.name.as_deref().unwrap_or_default();
        let hash = build::hash(&build::large_enough(pool, &claim.renditions), &self.settings);
        let fit = Fit { hash: &hash, millicores: build::least_millicores(pool, &claim.renditions) };
        let mut unsure = self.unsure().remove(&(claim.stream, claim.epoch));
        let mut silent = BTreeSet::new();
        let mut tries = 0;
        while tries < WARM_TRIES {
            // One that is the stream's already, perhaps, is not left because it is silent.
            let pod = if let Some(pod) = unsure.take() {
                pod
            } else {
                let Some(pod) = self.pods.pick(name, fit, &claim.doubted, &silent) else { break };
                if !self.answers(&pod).await {
                    self.pods.untried(&pod);
                    silent.extend(pod.node.clone());
                    continue;
                }
                pod
            };
            tries += 1;
            let left = self.leave(claim).await;
            if !matches!(left, Ok(Leave::Left)) {
                self.pods.untried(&pod);
            }
            if let Leave::Kept(kept) = left? {
                return Ok(Some(kept));
            }
            if let Some(claimed) = self.claim_warm(&pod, claim).await? {
                return Ok(Some(claimed));
            }
        }
        claim.doubted.append(&mut silent);
        Ok(None)
    }

    /// One that an earlier claim of this epoch has got. Nobody has stored that it is the stream's, so nobody has told it of its epoch. None
    /// when somebody has deleted it: where its machine is gone, it stays for as long as the node is there.
    async fn claimed_before(&self, pod: Arc<WorkerPod>) -> Result<Option<Arc<WorkerPod>>, ClaimError> {
        if pod.leaving {
            return Ok(None);
        }
        if !pod.ended {
            return Ok(Some(pod));
        }
        let _ = self.delete(&pod, Haste::Awaited).await;
        Err(ClaimError::Unavailable(pod.ended_in_words()))
    }

    /// Makes a warm pod the stream's; none when somebody was quicker, or it is gone.
    async fn claim_warm(
        &self,
        pod: &Arc<WorkerPod>,
        claim: &Claim<'_>,
    ) -> Result<Option<Arc<WorkerPod>>, ClaimError> {
        let Claim { stream, epoch, owner, given_up, .. } = *claim;
        let labels: HashMap<_, _> = build::claim_labels(stream, epoch).into_iter().collect();
        let annotations: HashMap<_, _> = build::claim_annotations().into_iter().collect();
        let patch = json!({ "metadata": {
            "uid": pod.worker,
            "resourceVersion": pod.version.to_string(),
            "labels": labels,
            "annotations": annotations,
            // The pool's is no longer among them, so that removing a pool takes no live worker.
            "ownerReferences": [build::owned_by(stream, owner)],
        }});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&patch);
        let patched = self.api.patch(&pod.name, &params, &patch);
        // It may wait for its turn for longer than this operator leads.
        match call_if(Haste::Awaited, || !given_up.is_cancelled(), patched).await {
            Ok(patched) => Ok(self.pods.wrote(&patched)),
            Err(Failure::Conflict) if given_up.is_cancelled() => {
                self.pods.untried(pod);
                Err(not_wanted())
            }
            // It may have been this very claim, whose first answer was lost.
            Err(Failure::Conflict) => {
                let Some(ours) = self.claimed_all_the_same(pod, claim).await? else {
                    self.metrics.claim_conflicts.inc();
                    return Ok(None);
                };
                self.claimed_before(ours).await
            }
            Err(Failure::NotFound) => {
                self.metrics.claim_conflicts.inc();
                self.pods.vanished(&pod.name);
                Ok(None)
            }
            // The same again would be answered so too, for this broadcast and all others: the pod stays tried, and another one follows.
            Err(error @ (Failure::Refused(_) | Failure::Forbidden(_))) => {
                tracing::warn!(%error, %stream, pod = pod.name, "a worker that waits cannot be claimed; another one is");
                let Some(ours) = self.claimed_all_the_same(pod, claim).await? else { return Ok(None) };
                self.claimed_before(ours).await
            }
            Err(error) => Err(self.not_sure(pod, claim, &error)),
        }
    }

    /// The pod, if an earlier try of this claim has got it and its answer was lost.
    async fn claimed_all_the_same(
        &self,
        pod: &Arc<WorkerPod>,
        claim: &Claim<'_>,
    ) -> Result<Option<Arc<WorkerPod>>, ClaimError> {
        match call(self.api.get(&pod.name)).await {
            Ok(found) => {
                let is_its = |found: &Arc<WorkerPod>| found.claim == Some((claim.stream, claim.epoch));
                Ok(self.pods.wrote(&found).filter(is_its))
            }
            Err(Failure::NotFound) => {
                self.pods.vanished(&pod.name);
                Ok(None)
            }
            Err(error) => Err(self.not_sure(pod, claim, &error)),
        }
    }

    fn not_sure(&self, pod: &Arc<WorkerPod>, claim: &Claim<'_>, error: &Failure) -> ClaimError {
        self.unsure().insert((claim.stream, claim.epoch), Arc::clone(pod));
        ClaimError::Unavailable(error.to_string())
    }

    /// Waits for a claimed pod's worker, for a moment: whoever claims asks again.
    async fn until_it_listens(&self, pod: &WorkerPod) -> Result<WorkerAddress, ClaimError> {
        let listening = async {
            tokio::select! {
                biased;
                said = self.until_it_is_ready(pod) => said,
                // Probes and the kubelet's reports are a second apart each.
                worker = self.until_it_answers(pod.worker) => Ok(worker),
                () = self.without_verdict(pod.worker) => Err(ClaimError::Coming(self.silence(pod))),
            }
        };
        let listened = timeout(PATIENCE, listening).await;
        listened.unwrap_or_else(|_| Err(ClaimError::Coming(self.silence(pod))))
    }

    /// Resolves when a scheduler should have said something of this worker's pod, and has not.
    async fn without_verdict(&self, worker: WorkerId) {
        sleep(VERDICT).await;
        match self.pods.known(worker) {
            Known::There(pod) if pod.node.is_none() && pod.address.is_none() => {}
            Known::There(_) | Known::Gone | Known::Unknown => std::future::pending().await,
        }
    }

    /// What is known of a worker that does not listen, where nobody says that anything is wrong with it.
    fn silence(&self, claimed: &WorkerPod) -> String {
        let name = &claimed.name;
        let Known::There(pod) = self.pods.known(claimed.worker) else {
            return format!("pod {name} is not known yet");
        };
        match &pod.node {
            None => format!("no scheduler has said anything of pod {name}"),
            Some(node) if pod.runs => format!("the worker in pod {name} on node {node} does not listen yet"),
            Some(node) => format!("node {node} has not started pod {name} yet"),
        }
    }

    async fn until_it_is_ready(&self, pod: &WorkerPod) -> Result<WorkerAddress, ClaimError> {
        let mut changes = self.pods.subscribe();
        loop {
            match self.pods.known(pod.worker) {
                Known::There(pod) => {
                    // Its process may still begin, and would be ended within its grace.
                    if pod.leaving {
                        return Err(ClaimError::Unavailable(pod.ended_in_words()));
                    }
                    if let Some(address) = pod.listens_at() {
                        return Ok(address);
                    }
                    if let Some(reason) = &pod.unschedulable {
                        return Err(ClaimError::NoCapacity(format!(
                            "pod {} is Unschedulable: {reason}",
                            pod.name
                        )));
                    }
                    if let Some(trouble) = &pod.trouble {
                        return Err(ClaimError::Unavailable(trouble.clone()));
                    }
                }
                Known::Gone => {
                    let last = self.pods.named(&pod.name).filter(|last| last.worker == pod.worker);
                    let words = last.map_or_else(|| pod.ended_in_words(), |last| last.ended_in_words());
                    return Err(ClaimError::Unavailable(words));
                }
                Known::Unknown => {}
            }
            let _ = changes.changed().await;
        }
    }

    /// Ends what was claimed for these epochs of the stream, also what no watch has told of yet.
    async fn withdraw(&self, stream: StreamId, of: impl Fn(Epoch) -> bool) {
        // Not while one is being claimed. Nobody begins another claim for these epochs, so no turn is kept from the stream's next one
        // while the server lists nothing.
        drop(self.turns.of(stream).await);
        let unsure: Vec<_> =
            self.unsure().extract_if(|(unsure, epoch), _| *unsure == stream && of(*epoch)).collect();
        while let Err(error) = self.list_claimed_by(stream).await {
            tracing::debug!(%error, %stream, "cannot list a stream's workers");
            sleep(ASK_AGAIN).await;
        }
        // Those that are the stream's have a newer version by now.
        for (_, pod) in &unsure {
            self.pods.untried(pod);
        }
        let claimed = self.pods.claimed_by(stream).into_iter();
        // All at once: a worker takes up to a minute to end.
        join_all(claimed.filter(|pod| pod.claim.is_some_and(|(_, epoch)| of(epoch))).map(|pod| async move {
            while self.end(pod.worker).await == Presence::Unknown {
                sleep(ASK_AGAIN).await;
            }
        }))
        .await;
    }

    fn unsure(&self) -> MutexGuard<'_, HashMap<(StreamId, Epoch), Arc<WorkerPod>>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker is claimed for.
struct Claim<'a> {
    stream: StreamId,
    epoch: Epoch,
    /// The uid of the stream's LiveStream.
    owner: &'a str,
    renditions: Vec<Rung>,
    /// Nodes that may be gone.
    doubted: BTreeSet<String>,
    /// How many broadcasts have a place in its pool, with this one.
    broadcasts: u32,
    /// Whoever claims has gone.
    given_up: &'a CancellationToken,
    /// What it has got, and does not come up. It is left as soon as there is another one.
    instead_of: Option<(Prospect, Arc<WorkerPod>)>,
    /// The name of the pod that it has left.
    left: Option<String>,
}

fn not_wanted() -> ClaimError {
    ClaimError::Unavailable("nobody wants it any more".to_owned())
}

/// The epoch of a broadcast's first worker.
const FIRST: Epoch = Epoch(1);

/// Between two tries of what has to succeed.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Less than a stream's task waits before it says so in the log; it asks again each second.
const PATIENCE: Duration = Duration::from_secs(8);
/// A scheduler that runs says within a moment where a pod goes, or why it goes nowhere.
const VERDICT: Duration = Duration::from_secs(2);
/// Warm pods that others were quicker with; then one is created.
const WARM_TRIES: u32 = 5;

#[cfg(test)]
mod tests;
