//! The workers' pods as they are: what the watch told, and what our own writes came to before the watch tells of them.

mod deletion;
mod refusals;
mod room;
mod worker_pod;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_kubernetes::live_stream::Place;
use caudal_livestream::{Epoch, StreamId, WorkerId};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client};
use tokio::sync::watch as channel;
use tokio::time::Instant;

use crate::nodes::{Emptied, Nodes};
use crate::server_clock::TermClock;
use caudal_kubernetes::watching::{News, watch};
pub(crate) use deletion::delete_unchanged;
pub(crate) use refusals::Refusals;
pub(crate) use room::MadeFor;
use room::{Taken, taken};
pub(crate) use worker_pod::SetUp;
pub use worker_pod::WorkerPod;

/// All workers' pods of a namespace. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Pods {
    shared: Arc<Shared>,
}

struct Shared {
    // Held for map operations only, never across an await.
    table: Mutex<Table>,
    /// Where they are.
    nodes: Nodes,
    /// Counts changes of the table, and of which nodes are being emptied.
    changes: channel::Sender<u64>,
}

/// What is known of the pods.
#[derive(Default)]
struct Table {
    pods: BTreeMap<String, Arc<WorkerPod>>,
    names: HashMap<WorkerId, String>,
    /// Idle pods that a claim of ours is being tried on, by name: until the watch shows a newer version, nobody else of us tries.
    tried: HashMap<String, Tried>,
    /// Pods that are being created and have no answer yet, by name.
    expected: HashMap<String, Expected>,
    /// Names that pods of ours were to have and that others have, which the watch does not tell of; each with the pool.
    in_the_way: BTreeMap<String, String>,
    gone: Gone,
    whole: bool,
    /// The API server's; none before anybody of this process has led.
    clock: Option<TermClock>,
}

/// A claim that is being tried on a pod.
struct Tried {
    version: u64,
    since: Instant,
}

/// A pod that is being created.
struct Expected {
    pool: String,
    broadcast: Option<StreamId>,
}

/// Which idle pods a broadcast may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit<'a> {
    /// Of what the best ones are made.
    pub(crate) hash: &'a str,
    /// What of a core another one has to have requested, in thousandths: the pool's ladder was changed since that was made. None where
    /// somebody else says what workers need.
    pub(crate) millicores: Option<u64>,
}

impl Fit<'_> {
    fn is_best(self, pod: &WorkerPod) -> bool {
        pod.hash == self.hash
    }

    fn allows(self, pod: &WorkerPod) -> bool {
        let is_large_enough = || pod.millicores.zip(self.millicores).is_none_or(|(has, needs)| has >= needs);
        self.is_best(pod) || is_large_enough()
    }
}

/// What is known of one worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    /// Its process may run.
    There(Arc<WorkerPod>),
    /// Its process has ended.
    Gone,
    /// There is no such pod, or not yet.
    Unknown,
}

impl Default for Pods {
    fn default() -> Self {
        let (table, nodes) = (Mutex::default(), Nodes::default());
        Self { shared: Arc::new(Shared { table, nodes, changes: channel::Sender::new(0) }) }
    }
}

impl Pods {
    /// Keeps them as they are; never ends.
    pub async fn follow(&self, client: Client, namespace: &str) {
        // By no label: of a pod that somebody takes it from, the watch would tell as of one that is gone.
        let mut news = Box::pin(watch::<Pod>(Api::namespaced(client, namespace), None));
        while let Some(news) = news.next().await {
            self.take(news);
        }
    }

    /// Keeps the nodes as they are; never ends. It needs rights on the cluster. Without it, no node counts as being emptied.
    pub(crate) async fn follow_nodes(&self, client: Client) {
        let mut news = Box::pin(watch::<Node>(Api::all(client), None));
        while let Some(news) = news.next().await {
            self.take_node(news);
        }
    }

    pub(crate) fn take_node(&self, news: News<Node>) {
        if self.shared.nodes.take(news) {
            self.changed();
        }
    }

    /// Somebody of this process leads from now on, by this clock. What was begun in an earlier term and never
    /// answered keeps no pod and no place from anybody.
    pub(crate) fn begin_term(&self, clock: TermClock) {
        let mut table = self.table();
        table.tried.clear();
        table.expected.clear();
        table.clock = Some(clock);
    }

    /// The API server's time in seconds since 1970, as pods have it; none before anybody of this process has led.
    pub(crate) fn now(&self) -> Option<i64> {
        self.table().now()
    }

    /// Whether it is known which nodes are being emptied.
    pub(crate) fn nodes_are_known(&self) -> bool {
        self.shared.nodes.are_known()
    }

    /// Why a pod is to leave its node, if it is.
    pub(crate) fn must_leave(&self, pod: &WorkerPod) -> Option<Emptied> {
        self.shared.nodes.emptied(pod.node.as_deref()?, &pod.tolerates)
    }

    /// The pods that have a broadcast.
    pub(crate) fn claimed(&self) -> Vec<Arc<WorkerPod>> {
        let table = self.table();
        let claimed =
            table.pods.values().filter(|pod| pod.ours && pod.claim.is_some() && !pod.leaving && !pod.ended);
        claimed.cloned().collect()
    }

    /// Where a worker is, for people.
    pub fn place(&self, worker: WorkerId) -> Place {
        match self.known(worker) {
            Known::There(pod) => Place { pod: Some(pod.name.clone()), node: pod.node.clone() },
            Known::Gone | Known::Unknown => Place::default(),
        }
    }

    pub(crate) fn take(&self, news: News<Pod>) {
        let changed = match news {
            News::Is(pod) => self.table().hears(&pod),
            News::Gone { name, uid } => self.table().told_gone(&name, uid.as_deref()),
            News::Unreadable(_) | News::Interrupted | News::Resumed => false,
            News::Whole => {
                self.table().whole = true;
                true
            }
        };
        if changed {
            self.changed();
        }
    }

    /// Takes in what a write of ours came to, so that the next decision is not made from before it.
    pub(crate) fn wrote(&self, pod: &Pod) -> Option<Arc<WorkerPod>> {
        self.table().hears(pod);
        self.changed();
        let name = WorkerPod::of(pod)?.name;
        self.table().pods.get(&name).cloned()
    }

    /// Takes in how a pod is now, by an answer to a question that was asked when this version was known.
    pub(crate) fn is_now(&self, pod: &Pod, known: u64) {
        let mut table = self.table();
        if let Some(answered) = WorkerPod::of(pod) {
            table.step_back(&answered, known);
        }
        table.hears(pod);
        drop(table);
        self.changed();
    }

    /// A pod is certainly not there any more.
    pub(crate) fn vanished(&self, name: &str) {
        self.table().gone(name);
        self.changed();
    }

    /// A worker is certainly not there, under whatever name.
    pub(crate) fn absent(&self, worker: WorkerId) {
        let mut table = self.table();
        match table.names.get(&worker).cloned() {
            Some(name) => {
                table.gone(&name);
            }
            None => table.gone.add(worker),
        }
        drop(table);
        self.changed();
    }

    /// Resolves when all pods have been told of once.
    pub(crate) async fn whole(&self) {
        let mut changes = self.subscribe();
        while !self.table().whole {
            // The sender lives as long as this.
            let _ = changes.changed().await;
        }
    }

    /// Tells of each change from now on.
    pub(crate) fn subscribe(&self) -> channel::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    pub(crate) fn known(&self, worker: WorkerId) -> Known {
        let table = self.table();
        if table.gone.has(worker) {
            return Known::Gone;
        }
        let pod = table.names.get(&worker).and_then(|name| table.pods.get(name));
        match pod {
            Some(pod) if pod.ended => Known::Gone,
            Some(pod) => Known::There(Arc::clone(pod)),
            None => Known::Unknown,
        }
    }

    /// The pod of a worker whose process has ended, if nobody has deleted it.
    pub(crate) fn left_over(&self, worker: WorkerId) -> Option<Arc<WorkerPod>> {
        let table = self.table();
        let pod = table.names.get(&worker).and_then(|name| table.pods.get(name))?;
        (pod.ours && pod.ended && !pod.leaving).then(|| Arc::clone(pod))
    }

    /// The pods that say that they have a broadcast, also those that are ending or have ended, each with its broadcast.
    pub(crate) fn all_claimed(&self) -> Vec<(StreamId, Arc<WorkerPod>)> {
        let table = self.table();
        let ours = table.pods.values().filter(|pod| pod.ours);
        ours.filter_map(|pod| Some((pod.claim?.0, Arc::clone(pod)))).collect()
    }

    /// The pod that was claimed for this by the LiveStream of the uid `owner`, or by whichever if that is not known; the one that may
    /// still run, if there is one.
    pub(crate) fn claimed_for(
        &self,
        stream: StreamId,
        epoch: Epoch,
        owner: Option<&str>,
    ) -> Option<Arc<WorkerPod>> {
        let table = self.table();
        let is_its = |pod: &WorkerPod| owner.is_none_or(|owner| pod.owner.as_deref() == Some(owner));
        let claimed =
            table.pods.values().filter(|pod| pod.ours && pod.claim == Some((stream, epoch)) && is_its(pod));
        claimed.min_by_key(|pod| (pod.ended || pod.leaving, pod.name.clone())).cloned()
    }

    /// The pod of this name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<WorkerPod>> {
        self.table().pods.get(name).cloned()
    }

    /// All pods that were claimed for this stream and are still there.
    pub(crate) fn claimed_by(&self, stream: StreamId) -> Vec<Arc<WorkerPod>> {
        let table = self.table();
        let of_stream = |pod: &WorkerPod| pod.claim.is_some_and(|(claimed, _)| claimed == stream);
        table.pods.values().filter(|pod| pod.ours && of_stream(pod)).cloned().collect()
    }

    /// All pods of a pool, also those that are not ours.
    pub(crate) fn of_pool(&self, pool: &str) -> Vec<Arc<WorkerPod>> {
        self.table().pods.values().filter(|pod| pod.pool == pool).cloned().collect()
    }

    /// The nodes where this stream has a worker whose process has not ended. Each may be gone, and that worker with it: nobody hears of
    /// the end of a process whose machine is gone.
    pub(crate) fn nodes_of(&self, stream: StreamId) -> BTreeSet<String> {
        let table = self.table();
        let of_stream =
            |pod: &&Arc<WorkerPod>| !pod.ended && pod.claim.is_some_and(|(claimed, _)| claimed == stream);
        table.pods.values().filter(of_stream).filter_map(|pod| pod.node.clone()).collect()
    }

    /// An idle pod that may be claimed, for whoever asks, until [`untried`](Self::untried), a newer version of it is known, or whoever tries has had a minute. Those that fit
    /// best first, and of these the oldest, whose image and caches are warmest. None that is to leave its node: the
    /// broadcast would have to be moved at once. Rather none on a node of `doubted`, and certainly none on one of `silent`.
    pub(crate) fn pick(
        &self,
        pool: &str,
        fit: Fit<'_>,
        doubted: &BTreeSet<String>,
        silent: &BTreeSet<String>,
    ) -> Option<Arc<WorkerPod>> {
        let mut table = self.table();
        let free = table.pods.values().filter(|pod| {
            pod.pool == pool
                && pod.is_claimable()
                && fit.allows(pod)
                && !pod.is_on(silent)
                && self.must_leave(pod).is_none()
                && table.tried.get(&pod.name).is_none_or(|tried| tried.is_over(pod.version))
        });
        let best = free
            .min_by_key(|pod| (pod.is_on(doubted), !fit.is_best(pod), pod.created, pod.name.clone()))
            .cloned()?;
        let tried = Tried { version: best.version, since: Instant::now() };
        table.tried.insert(best.name.clone(), tried);
        Some(best)
    }

    /// The claim on it was not made, for a reason that is not the pod's: others may try it.
    pub(crate) fn untried(&self, pod: &WorkerPod) {
        let mut table = self.table();
        // A newer version may be somebody else's try by now.
        if table.tried.get(&pod.name).is_some_and(|tried| tried.version == pod.version) {
            table.tried.remove(&pod.name);
        }
    }

    /// Takes one of the places that a pool has for pods, for one of this name that waits; false when there is none left.
    pub(crate) fn expect(&self, name: &str, pool: &str, places: u32) -> bool {
        self.expect_for(MadeFor::Pool, name, pool, places)
    }

    /// The same for one that is made for somebody.
    pub(crate) fn expect_for(&self, made_for: MadeFor, name: &str, pool: &str, places: u32) -> bool {
        let mut table = self.table();
        let now = table.now();
        let there = table
            .pods
            .values()
            .filter(|pod| takes_place(pod, now) && pod.pool == pool && pod.name != name)
            .map(|pod| Taken { by: pod.claim.map(|(stream, _)| stream), leaving: pod.leaving });
        let expected = table
            .expected
            .iter()
            .filter(|(other, of)| of.pool == pool && *other != name && !table.pods.contains_key(*other))
            .map(|(_, of)| Taken { by: of.broadcast, leaving: false });
        let taken = taken(there.chain(expected), made_for);
        let room = u32::try_from(taken).is_ok_and(|taken| taken < places);
        if room {
            let broadcast = match made_for {
                MadeFor::Pool => None,
                MadeFor::Broadcast(stream) | MadeFor::Replacement(stream) => Some(stream),
            };
            table.expected.insert(name.to_owned(), Expected { pool: pool.to_owned(), broadcast });
        }
        room
    }

    /// Whether the pod of this name was created is known by now.
    pub(crate) fn answered(&self, name: &str) {
        self.table().expected.remove(name);
    }

    /// A pod that is none of this pool's workers has a name that one of them was to have.
    pub(crate) fn in_the_way(&self, name: &str, pool: &str) {
        if self.table().in_the_way.insert(name.to_owned(), pool.to_owned()).is_none() {
            tracing::warn!(
                pool,
                pod = name,
                "a pod has the name of a worker, and is none; the worker gets another name"
            );
            self.changed();
        }
    }

    /// The names that such pods have, as far as is known.
    pub(crate) fn names_in_the_way(&self, pool: &str) -> Vec<String> {
        let table = self.table();
        table.in_the_way.iter().filter(|(_, of)| of.as_str() == pool).map(|(name, _)| name.clone()).collect()
    }

    /// That pod is there no longer.
    pub(crate) fn out_of_the_way(&self, name: &str) {
        self.table().in_the_way.remove(name);
        self.changed();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.shared.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl Table {
    /// Takes in a pod as the server has or had it; false when something as new is known.
    fn hears(&mut self, pod: &Pod) -> bool {
        match WorkerPod::of(pod) {
            Some(pod) => self.is(pod),
            None => self.is_no_worker(pod).is_some(),
        }
    }

    /// A pod that is no worker's as it is: somebody has taken its labels off, or it only has the name of one. None when that is no news.
    fn is_no_worker(&mut self, pod: &Pod) -> Option<()> {
        let name = pod.metadata.name.as_ref()?;
        let known = Arc::clone(self.pods.get(name)?);
        let version: u64 = pod.metadata.resource_version.as_deref()?.parse().ok()?;
        if known.version >= version {
            return None;
        }
        if pod.metadata.uid.as_deref()? == known.worker.to_string() {
            // Nobody says that its process has ended.
            self.names.remove(&known.worker);
            self.pods.remove(name);
            self.tried.remove(name);
        } else {
            self.gone(name);
        }
        Some(())
    }

    /// Takes in a pod as it is or was; false when something as new is known.
    fn is(&mut self, pod: WorkerPod) -> bool {
        if self.gone.has(pod.worker) {
            return false;
        }
        match self.pods.get(&pod.name) {
            Some(known) if known.version >= pod.version => return false,
            // Another one of the same name.
            Some(known) if known.worker != pod.worker => {
                self.gone.add(known.worker);
                self.names.remove(&known.worker);
            }
            _ => {}
        }
        if self.tried.get(&pod.name).is_some_and(|tried| pod.version > tried.version) {
            self.tried.remove(&pod.name);
        }
        self.names.insert(pod.worker, pod.name.clone());
        self.pods.insert(pod.name.clone(), Arc::new(pod));
        true
    }

    /// The watch says so, which may be about one whose name another one bears by now that the watch has not told of.
    fn told_gone(&mut self, name: &str, uid: Option<&str>) -> bool {
        let uid: Option<WorkerId> = uid.and_then(|uid| uid.parse().ok());
        match (self.pods.get(name), uid) {
            (Some(known), Some(uid)) if known.worker != uid => {
                self.gone.add(uid);
                true
            }
            _ => self.gone(name),
        }
    }

    /// The server answers with an older version than `known`, of which nothing newer was heard since it was asked: its database was restored
    /// from a backup, and counts on from there.
    fn step_back(&mut self, answered: &WorkerPod, known: u64) {
        if answered.version < known
            && self
                .pods
                .get(&answered.name)
                .is_some_and(|pod| pod.version == known && pod.worker == answered.worker)
        {
            self.pods.remove(&answered.name);
        }
    }

    fn gone(&mut self, name: &str) -> bool {
        self.tried.remove(name);
        let Some(pod) = self.pods.remove(name) else { return false };
        self.names.remove(&pod.worker);
        self.gone.add(pod.worker);
        true
    }

    fn now(&self) -> Option<i64> {
        Some(self.clock.as_ref()?.seconds())
    }
}

impl Tried {
    /// Whether the pod, which has this version now, may be tried anew. Should the claim be made after all, the next one finds that the pod
    /// has another version.
    fn is_over(&self, version: u64) -> bool {
        version > self.version || self.since.elapsed() >= LONGEST_TRY
    }
}

/// Whether it takes one of the places that its pool has for pods: until its process has ended, or should have.
fn takes_place(pod: &WorkerPod, now: Option<i64>) -> bool {
    pod.ours && !pod.ended && !now.is_some_and(|now| pod.is_overdue(now))
}

/// Workers that are certainly gone: the newest so many.
#[derive(Default)]
struct Gone {
    workers: HashSet<WorkerId>,
    order: VecDeque<WorkerId>,
}

impl Gone {
    fn add(&mut self, worker: WorkerId) {
        if self.workers.insert(worker) {
            self.order.push_back(worker);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.workers.remove(&oldest);
        }
    }

    fn has(&self, worker: WorkerId) -> bool {
        self.workers.contains(&worker)
    }
}

/// An API server gives a call up after a minute.
const LONGEST_TRY: Duration = Duration::from_mins(1);
/// Whoever still asks for an older one is told so after a look at the server.
const REMEMBERED: usize = 20_000;

#[cfg(test)]
mod tests;
