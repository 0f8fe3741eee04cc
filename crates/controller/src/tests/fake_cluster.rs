//! Workers that live on when a controller dies, the way to them, and an api.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use caudal_livestream::WorkerId;
use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::credentials::SealingPublicKey;
use caudal_livestream::lifecycle::{ReportOrder, WorkerOrder};
use caudal_livestream::proof::{Proof, SignedAssignment, SignedRenewal};
use caudal_livestream::record::WorkerAddress;

use super::fake_worker::{BehindTheSwitch, FakeWorker};
use super::*;

/// All of it; every promise of the controller's is checked here when it acts.
pub(super) struct FakeCluster {
    store: Arc<FakeStore>,
    // Held for single operations only, never across an await.
    workers: Mutex<Vec<FakeWorker>>,
    reports: Mutex<Vec<ReportOrder>>,
    shown: Mutex<Vec<(StreamId, Phase)>>,
    /// Streams whose records somebody removed before they had ended.
    lost: Mutex<Vec<StreamId>>,
    /// Moves that failed and nobody had waited for, and why.
    not_moved: Mutex<Vec<(StreamId, String)>>,
    /// What claims fail with.
    no_worker: Mutex<Option<ClaimError>>,
    /// Claims make their worker and are never answered.
    silent: AtomicBool,
    /// The highest epoch of each stream that workers of a controller before this one have claimed.
    claimed: Mutex<BTreeMap<StreamId, Epoch>>,
    /// What workers say that do not take an assignment.
    not_assigned: Mutex<Option<NotAssigned>>,
    /// And after how long.
    silence: Mutex<Duration>,
    /// Which workers were asked to take an assignment that was not taken.
    asked: Mutex<Vec<WorkerId>>,
    /// What happens right behind the router's switch.
    behind_the_switch: Mutex<BehindTheSwitch>,
    /// Workers are not known, as after the start of whoever watches them.
    forgetful: Mutex<bool>,
    /// Workers take no new storage credentials.
    pub(super) renews_none: AtomicBool,
    /// Workers take no stream without storage credentials.
    pub(super) needs_credentials: AtomicBool,
    /// Whoever follows a worker panics.
    pub(super) breaks_followers: AtomicBool,
    /// How often somebody began to follow one.
    pub(super) followed: AtomicU32,
    /// Nobody answers for a worker's key.
    pub(super) keyless: AtomicBool,
    /// Somebody who does, with this one.
    pub(super) answers_in_its_place: Mutex<Option<SealingPublicKey>>,
}

impl FakeCluster {
    pub(super) fn new(store: Arc<FakeStore>) -> Self {
        Self {
            store,
            workers: Mutex::default(),
            reports: Mutex::default(),
            shown: Mutex::default(),
            lost: Mutex::default(),
            not_moved: Mutex::default(),
            no_worker: Mutex::default(),
            silent: AtomicBool::new(false),
            claimed: Mutex::default(),
            not_assigned: Mutex::default(),
            silence: Mutex::default(),
            asked: Mutex::default(),
            behind_the_switch: Mutex::default(),
            forgetful: Mutex::default(),
            renews_none: AtomicBool::new(false),
            needs_credentials: AtomicBool::new(false),
            keyless: AtomicBool::new(false),
            breaks_followers: AtomicBool::new(false),
            followed: AtomicU32::new(0),
            answers_in_its_place: Mutex::default(),
        }
    }

    pub(super) fn was_claimed(&self, stream: StreamId, highest: Epoch) {
        self.claimed.lock().unwrap().insert(stream, highest);
    }

    pub(super) fn no_worker(&self, error: Option<ClaimError>) {
        *self.no_worker.lock().unwrap() = error;
    }

    pub(super) fn answers_no_claim(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    pub(super) fn nobody_gets_ready(&self, reason: NotAssigned) {
        self.nobody_gets_ready_after(Duration::ZERO, reason);
    }

    pub(super) fn nobody_gets_ready_after(&self, silence: Duration, reason: NotAssigned) {
        *self.silence.lock().unwrap() = silence;
        *self.not_assigned.lock().unwrap() = Some(reason);
    }

    pub(super) fn behind_the_switch(&self, happens: BehindTheSwitch) {
        *self.behind_the_switch.lock().unwrap() = happens;
    }

    pub(super) fn somebody_gets_ready(&self) {
        *self.not_assigned.lock().unwrap() = None;
    }

    /// How often each worker was asked to take an assignment that it did not take.
    pub(super) fn asked(&self) -> Vec<usize> {
        let asked = self.asked.lock().unwrap();
        let workers = self.workers().into_iter().map(|worker| worker.address.worker);
        workers
            .map(|worker| asked.iter().filter(|one| **one == worker).count())
            .filter(|times| *times > 0)
            .collect()
    }

    pub(super) fn forgetful(&self, forgetful: bool) {
        *self.forgetful.lock().unwrap() = forgetful;
    }

    pub(super) fn workers(&self) -> Vec<FakeWorker> {
        self.workers.lock().unwrap().clone()
    }

    pub(super) fn alive(&self) -> Vec<FakeWorker> {
        self.workers().into_iter().filter(|worker| !worker.dead.is_cancelled()).collect()
    }

    /// Kills whichever workers are there.
    pub(super) fn kill_all(&self) {
        for worker in self.alive() {
            worker.dead.cancel();
        }
    }

    /// Tells whichever workers are there to go.
    pub(super) fn leave_all(&self) {
        for worker in self.alive() {
            worker.says_of_publisher(|state| state.leaving = true);
        }
    }

    /// What the api was told of `stream`: each report once, however often it was said.
    pub(super) fn told(&self, stream: StreamId) -> Vec<ReportOrder> {
        let mut told = Vec::new();
        for report in self.reports.lock().unwrap().iter() {
            let of = match report {
                ReportOrder::Published(report) => report.stream,
                ReportOrder::Done(report) => report.stream,
            };
            if of == stream && !told.contains(report) {
                told.push(report.clone());
            }
        }
        told
    }

    /// The moves that failed and nobody had waited for, and why.
    pub(super) fn not_moved(&self) -> Vec<(StreamId, String)> {
        self.not_moved.lock().unwrap().clone()
    }

    /// Streams whose records somebody removed before they had ended, each as often as it was told.
    pub(super) fn lost(&self) -> Vec<StreamId> {
        self.lost.lock().unwrap().clone()
    }

    /// Each phase that `stream` was shown in, in order.
    pub(super) fn phases_shown(&self, stream: StreamId) -> Vec<Phase> {
        let shown = self.shown.lock().unwrap();
        let mut phases: Vec<_> =
            shown.iter().filter(|(of, _)| *of == stream).map(|(_, phase)| *phase).collect();
        phases.dedup();
        phases
    }

    fn find(&self, worker: WorkerId) -> Option<FakeWorker> {
        if *self.forgetful.lock().unwrap() {
            return None;
        }
        self.workers().into_iter().find(|known| known.address.worker == worker)
    }
}

impl Workers for FakeCluster {
    fn claim(
        &self,
        stream: StreamId,
        epoch: Epoch,
        _pool: &Pool,
    ) -> BoxFuture<'static, Result<Claimed, ClaimError>> {
        let stored = self.store.get(stream).expect("a worker was claimed for a stream that is not stored");
        let known = stored.machine.moves_to().unwrap_or_default().max(stored.machine.epoch());
        assert!(known >= epoch, "epoch {epoch} was claimed before it was stored");
        if let Some(error) = self.no_worker.lock().unwrap().clone() {
            return Box::pin(std::future::ready(Err(error)));
        }
        let mut workers = self.workers.lock().unwrap();
        let known = workers
            .iter()
            .find(|known| (known.stream, known.epoch) == (stream, epoch) && !known.dead.is_cancelled());
        let address = if let Some(known) = known {
            known.address
        } else {
            let worker = FakeWorker::new(stream, epoch);
            let address = worker.address;
            workers.push(worker);
            address
        };
        let silent = self.silent.load(Ordering::Relaxed);
        // Made, and not answered yet: a controller may die here.
        Box::pin(async move {
            if silent {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_millis(20)).await;
            // The first one was warm, and no other.
            let start = if epoch == Epoch(1) { Start::Warm } else { Start::Cold };
            Ok(Claimed { worker: address, start })
        })
    }

    fn exited(&self, worker: WorkerId) -> BoxFuture<'static, Presence> {
        let found = self.find(worker);
        Box::pin(async move {
            let Some(worker) = found else { return Presence::Unknown };
            worker.dead.cancelled().await;
            Presence::Gone
        })
    }

    fn release(&self, worker: WorkerId) -> BoxFuture<'static, Presence> {
        let found = self.find(worker);
        Box::pin(async move {
            let Some(worker) = found else { return Presence::Unknown };
            if worker.closes() {
                worker.dead.cancelled().await;
            }
            worker.dead.cancel();
            Presence::Gone
        })
    }

    fn withdraw_claim(&self, stream: StreamId, epoch: Epoch) -> BoxFuture<'static, ()> {
        for worker in self.alive().into_iter().filter(|one| (one.stream, one.epoch) == (stream, epoch)) {
            worker.dead.cancel();
        }
        Box::pin(std::future::ready(()))
    }

    fn withdraw(&self, stream: StreamId) -> BoxFuture<'static, ()> {
        for worker in self.alive().into_iter().filter(|worker| worker.stream == stream) {
            worker.dead.cancel();
        }
        Box::pin(std::future::ready(()))
    }
}

impl WorkerLink for FakeCluster {
    fn assign<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        assignment: &'a SignedAssignment,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        Box::pin(async move {
            let known = CONTROLLER_KEYS.map(|number| signing_key(number).verifying_key());
            let assignment = known.iter().find_map(|key| assignment.verify(key).ok()).expect("a known key");
            let stored =
                self.store.get(assignment.stream).expect("an assignment of a stream that is not stored");
            let orders = stored.machine.orders();
            for order in [orders.worker, orders.next].into_iter().flatten() {
                if let WorkerOrder::Assign { epoch, worker: ours, .. } = order
                    && epoch == assignment.epoch
                {
                    assert_eq!(ours.worker, worker.worker, "assigned before it was stored");
                }
            }
            let found = self.workers().into_iter().find(|known| known.address == *worker).unwrap();
            if found.dead.is_cancelled() {
                return Err(NotAssigned::Unsettled("dead".to_owned()));
            }
            let has_none = assignment.credentials.is_none() && found.given().is_empty();
            if has_none && self.needs_credentials.load(Ordering::Relaxed) {
                return Err(NotAssigned::Unsettled("it has no storage credentials".to_owned()));
            }
            let not_assigned = self.not_assigned.lock().unwrap().clone();
            if let Some(reason) = not_assigned {
                self.asked.lock().unwrap().push(worker.worker);
                let silence = *self.silence.lock().unwrap();
                sleep(silence).await;
                return Err(reason);
            }
            let claimed = self.claimed.lock().unwrap().get(&assignment.stream).copied();
            if claimed.is_some_and(|claimed| assignment.epoch <= claimed) {
                self.asked.lock().unwrap().push(worker.worker);
                return Err(NotAssigned::Refused("claimed already".to_owned()));
            }
            if assignment.mode == AssignmentMode::Prepare && found.assignments().is_empty() {
                let epoch = stored.machine.epoch();
                let old =
                    self.alive().into_iter().find(|old| (old.stream, old.epoch) == (found.stream, epoch));
                let (next, store) = (found.clone(), Arc::clone(&self.store));
                found.spawn(next.has_the_publisher_once_it_is_named(
                    old,
                    *self.behind_the_switch.lock().unwrap(),
                    store,
                ));
            }
            found.take(assignment);
            Ok(())
        })
    }

    fn key<'a>(
        &'a self,
        worker: &'a WorkerAddress,
    ) -> BoxFuture<'a, Result<Option<SealingPublicKey>, NotAssigned>> {
        let found = self.workers().into_iter().find(|known| known.address == *worker).unwrap();
        let key = self.answers_in_its_place.lock().unwrap().unwrap_or(found.key());
        Box::pin(async move { Ok((!self.keyless.load(Ordering::Relaxed)).then_some(key)) })
    }

    fn renew<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        renewal: &'a SignedRenewal,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        let found = self.workers().into_iter().find(|known| known.address == *worker).unwrap();
        Box::pin(async move {
            if self.renews_none.load(Ordering::Relaxed) {
                return Err(NotAssigned::Unsettled("busy".to_owned()));
            }
            let order = renewal.verify(&signing_key(9).verifying_key()).expect("a known key");
            assert_eq!((order.worker, order.epoch), (worker.worker, found.epoch));
            found.is_given(&order.renewed);
            Ok(())
        })
    }

    fn follow<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        proof: &'a Proof,
    ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>> {
        let found = self.workers().into_iter().find(|known| known.address == *worker);
        Box::pin(async move {
            self.followed.fetch_add(1, Ordering::Relaxed);
            if self.breaks_followers.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(10)).await;
                panic!("what follows a worker breaks");
            }
            let worker = found.filter(|worker| !worker.dead.is_cancelled());
            let worker = worker.ok_or_else(|| LinkLost("dead".to_owned()))?;
            if worker.cut_off.is_cancelled() {
                return Err(LinkLost("no route to host".to_owned()));
            }
            if !worker.assignments().first().is_some_and(|assignment| assignment.knows_reader(proof)) {
                return Err(LinkLost("a stranger".to_owned()));
            }
            let heard: Box<dyn Announcements> = Box::new(worker.heard());
            Ok(heard)
        })
    }
}

impl Api for FakeCluster {
    fn report<'a>(&'a self, report: &'a ReportOrder) -> BoxFuture<'a, Result<(), NotAcknowledged>> {
        Box::pin(async move {
            self.reports.lock().unwrap().push(report.clone());
            sleep(Duration::from_millis(20)).await;
            Ok(())
        })
    }
}

impl Observer for FakeCluster {
    fn show(&self, record: Arc<LiveStream>) {
        self.shown.lock().unwrap().push((record.spec.stream, record.status.phase));
    }

    fn changed(&self, _before: Option<&LiveStream>, _after: &LiveStream) {}

    fn not_moved(&self, record: &LiveStream, error: &MoveError) {
        self.not_moved.lock().unwrap().push((record.spec.stream, error.to_string()));
    }

    fn lost(&self, last: &LiveStream) {
        self.lost.lock().unwrap().push(last.spec.stream);
    }

    fn hide(&self, _stream: StreamId) {}
}

/// The workers that took an assignment, by epoch: an epoch belongs to one worker for ever.
pub(super) fn by_epoch(cluster: &FakeCluster, stream: StreamId) -> BTreeMap<Epoch, WorkerId> {
    let mut owners = BTreeMap::new();
    for worker in cluster.workers().into_iter().filter(|worker| worker.stream == stream) {
        for assignment in worker.assignments() {
            let owner = *owners.entry(assignment.epoch).or_insert(worker.address.worker);
            assert_eq!(owner, worker.address.worker, "epoch {} was given out twice", assignment.epoch);
        }
    }
    owners
}

/// The keys that workers know controllers by: one, and the one that it is changed to.
const CONTROLLER_KEYS: [u8; 2] = [9, 10];
