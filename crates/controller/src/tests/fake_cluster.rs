//! Workers that live on when a controller dies, the way to them, and an api.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::InputState;
use caudal_livestream::lifecycle::{ReportOrder, WorkerOrder};
use caudal_livestream::proof::{Proof, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{MediaTime, Msn, WorkerId};

use super::*;

/// All of it; every promise of the controller's is checked here when it acts.
pub(super) struct FakeCluster {
    store: Arc<FakeStore>,
    // Held for single operations only, never across an await.
    workers: Mutex<Vec<FakeWorker>>,
    reports: Mutex<Vec<ReportOrder>>,
    shown: Mutex<Vec<(StreamId, Phase)>>,
    /// What claims fail with.
    no_worker: Mutex<Option<ClaimError>>,
    /// Claims make their worker and are never answered.
    silent: AtomicBool,
    /// The highest epoch of each stream that workers of a controller before this one have claimed.
    claimed: Mutex<BTreeMap<StreamId, Epoch>>,
    /// Workers are not known, as after the start of whoever watches them.
    forgetful: Mutex<bool>,
}

/// A worker that has its publisher as soon as it is assigned, and announces a segment every two seconds. One that is to get
/// ready has it once the record has named it for a moment, as if a router had switched at a keyframe.
#[derive(Clone)]
pub(super) struct FakeWorker {
    pub(super) address: WorkerAddress,
    pub(super) stream: StreamId,
    pub(super) epoch: Epoch,
    said: watch::Sender<Vec<Announcement>>,
    assigned: watch::Sender<Vec<Assignment>>,
    pub(super) dead: CancellationToken,
    serves: Arc<AtomicBool>,
}

impl FakeCluster {
    pub(super) fn new(store: Arc<FakeStore>) -> Self {
        Self {
            store,
            workers: Mutex::default(),
            reports: Mutex::default(),
            shown: Mutex::default(),
            no_worker: Mutex::default(),
            silent: AtomicBool::new(false),
            claimed: Mutex::default(),
            forgetful: Mutex::default(),
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
    ) -> BoxFuture<'static, Result<WorkerAddress, ClaimError>> {
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
            Ok(address)
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
            worker.dead.cancel();
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
            let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
            let assignment = assignment.verify(&key).unwrap();
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
                return Err(NotAssigned::AskAgain("dead".to_owned()));
            }
            let claimed = self.claimed.lock().unwrap().get(&assignment.stream).copied();
            if claimed.is_some_and(|claimed| assignment.epoch <= claimed) {
                return Err(NotAssigned::Refused("claimed already".to_owned()));
            }
            if assignment.mode == AssignmentMode::Prepare && found.assignments().is_empty() {
                let epoch = stored.machine.epoch();
                let old =
                    self.alive().into_iter().find(|old| (old.stream, old.epoch) == (found.stream, epoch));
                found.spawn(found.clone().has_the_publisher_once_it_is_named(old, Arc::clone(&self.store)));
            }
            found.take(assignment);
            Ok(())
        })
    }

    fn follow<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        _proof: &'a Proof,
    ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>> {
        let found = self.workers().into_iter().find(|known| known.address == *worker);
        Box::pin(async move {
            let worker = found.filter(|worker| !worker.dead.is_cancelled());
            let worker = worker.ok_or_else(|| LinkLost("dead".to_owned()))?;
            let said = worker.said.subscribe();
            let heard: Box<dyn Announcements> = Box::new(Heard { worker, said, read: 0 });
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

    fn hide(&self, _stream: StreamId) {}
}

impl FakeWorker {
    fn new(stream: StreamId, epoch: Epoch) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Self {
            address: WorkerAddress { worker: WorkerId::generate(), rtmp: address, http: address },
            stream,
            epoch,
            said: watch::Sender::new(Vec::new()),
            assigned: watch::Sender::new(Vec::new()),
            dead: CancellationToken::new(),
            serves: Arc::default(),
        }
    }

    pub(super) fn assignments(&self) -> Vec<Assignment> {
        self.assigned.borrow().clone()
    }

    fn take(&self, assignment: Assignment) {
        assert_eq!((assignment.stream, assignment.epoch), (self.stream, self.epoch));
        let (mode, floor) = (assignment.mode, assignment.floor);
        self.assigned.send_modify(|all| all.push(assignment));
        match mode {
            AssignmentMode::Finish => self.say(Announcement::End),
            AssignmentMode::Live => self.spawn(self.clone().serve(floor)),
            AssignmentMode::Prepare => {}
        }
    }

    /// Ends with `dead`, and every worker is dead by its test's end.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let dead = self.dead.clone();
        tokio::spawn(async move { dead.run_until_cancelled(task).await });
    }

    async fn has_the_publisher_once_it_is_named(self, old: Option<FakeWorker>, store: Arc<FakeStore>) {
        let Some(old) = old else { return };
        loop {
            sleep(Duration::from_millis(200)).await;
            let next = store.get(self.stream).and_then(|record| record.machine.status(None).next);
            if next.is_some_and(|next| next.epoch == self.epoch) {
                break;
            }
        }
        // Otherwise the controller says that the old one is gone.
        if !old.dead.is_cancelled() {
            old.says_of_publisher(|state| (state.up, state.moved) = (false, true));
            old.dead.cancel();
            let floor = old.last_floor();
            self.serve(floor).await;
        }
    }

    fn last_floor(&self) -> Option<Floor> {
        self.said.borrow().iter().rev().find_map(|said| match said {
            Announcement::Floor(floor) => Some(*floor),
            _ => None,
        })
    }

    fn says_of_publisher(&self, change: impl FnOnce(&mut InputState)) {
        let mut state = InputState {
            generation: Generation(1),
            up: true,
            session: Some(SessionId::generate()),
            silent_ms: Some(0),
            ..InputState::default()
        };
        change(&mut state);
        self.say(Announcement::Input(state));
    }

    async fn serve(self, floor: Option<Floor>) {
        if self.serves.swap(true, Ordering::Relaxed) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
        self.says_of_publisher(|_| {});
        let mut msn = floor.map_or(Msn(7), |floor| floor.msn.next());
        loop {
            let media_end = MediaTime(i64::try_from(msn.0).unwrap() * 2_000_000);
            self.say(Announcement::Floor(Floor { msn, discontinuity: 0, media_end }));
            msn = msn.next();
            sleep(Duration::from_secs(2)).await;
        }
    }

    fn say(&self, announcement: Announcement) {
        self.said.send_modify(|said| {
            if said.last() != Some(&Announcement::End) {
                said.push(announcement);
            }
        });
    }
}

/// What one connection to a worker hears.
struct Heard {
    worker: FakeWorker,
    said: watch::Receiver<Vec<Announcement>>,
    read: usize,
}

impl Announcements for Heard {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Announcement>, LinkLost>> {
        Box::pin(async move {
            let read = self.read;
            tokio::select! {
                biased;
                said = self.said.wait_for(|said| said.len() > read) => {
                    self.read += 1;
                    Ok(Some(said.unwrap()[read].clone()))
                }
                () = self.worker.dead.cancelled() => Err(LinkLost("dead".to_owned())),
                () = sleep(Duration::from_secs(1)) => Ok(Some(Announcement::Alive)),
            }
        })
    }
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
