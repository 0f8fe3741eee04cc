//! A worker that only says what workers say.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::credentials::{Recipient, SealedCredentials, SealingPublicKey};
use caudal_livestream::feed::InputState;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{MediaTime, Msn, WorkerId};
use caudal_storage::{SealingKey, StreamCredentials};

use super::fake_store::FakeStore;
use super::*;

/// What happens right behind the router's switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BehindTheSwitch {
    #[default]
    OldCloses,
    OldDies,
    /// The old one takes a moment to close, and announces more meanwhile.
    NextDies,
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
    /// It has closed its feed.
    closed: CancellationToken,
    pub(super) dead: CancellationToken,
    /// No packet gets through any more between it and the controller.
    pub(super) cut_off: CancellationToken,
    serves: Arc<AtomicBool>,
    /// It has no publisher, and ends by itself.
    closes: Arc<AtomicBool>,
    key: Arc<SealingKey>,
    /// The storage credentials that came with assignments and after them.
    given: Arc<Mutex<Vec<StreamCredentials>>>,
}

impl FakeWorker {
    pub(super) fn new(stream: StreamId, epoch: Epoch) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Self {
            address: WorkerAddress { worker: WorkerId::generate(), rtmp: address, http: address },
            stream,
            epoch,
            said: watch::Sender::new(Vec::new()),
            assigned: watch::Sender::new(Vec::new()),
            closed: CancellationToken::new(),
            dead: CancellationToken::new(),
            cut_off: CancellationToken::new(),
            serves: Arc::default(),
            closes: Arc::default(),
            key: Arc::new(SealingKey::generate().unwrap()),
            given: Arc::default(),
        }
    }

    pub(super) fn assignments(&self) -> Vec<Assignment> {
        self.assigned.borrow().clone()
    }

    pub(super) fn key(&self) -> SealingPublicKey {
        self.key.public()
    }

    /// Only what is sealed to this worker, for its stream and epoch.
    pub(super) fn is_given(&self, sealed: &SealedCredentials) {
        let recipient = Recipient { worker: self.address.worker, stream: self.stream, epoch: self.epoch };
        self.given.lock().unwrap().push(self.key.open(sealed, recipient).unwrap());
    }

    pub(super) fn given(&self) -> Vec<StreamCredentials> {
        self.given.lock().unwrap().clone()
    }

    pub(super) fn take(&self, assignment: Assignment) {
        assert_eq!((assignment.stream, assignment.epoch), (self.stream, self.epoch));
        if let Some(sealed) = &assignment.credentials {
            self.is_given(sealed);
        }
        let (mode, floor) = (assignment.mode, assignment.floor);
        self.assigned.send_modify(|all| all.push(assignment));
        match mode {
            AssignmentMode::Finish => self.say(Announcement::End),
            AssignmentMode::Live => self.spawn(self.clone().serve(floor)),
            AssignmentMode::Prepare => {}
        }
    }

    /// Ends with `dead`, and every worker is dead by its test's end.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let dead = self.dead.clone();
        tokio::spawn(async move { dead.run_until_cancelled(task).await });
    }

    pub(super) async fn has_the_publisher_once_it_is_named(
        self,
        old: Option<FakeWorker>,
        happens: BehindTheSwitch,
        store: Arc<FakeStore>,
    ) {
        let Some(old) = old else { return };
        loop {
            sleep(Duration::from_millis(200)).await;
            let next = store.get(self.stream).and_then(|record| record.machine.status(None).next);
            if next.is_some_and(|next| next.epoch == self.epoch) {
                break;
            }
        }
        // Otherwise the controller says that the old one is gone.
        if old.dead.is_cancelled() {
            return;
        }
        old.says_of_publisher(|state| (state.up, state.moved) = (false, true));
        if happens == BehindTheSwitch::NextDies {
            old.spawn(old.clone().close_within(Duration::from_millis(300)));
            self.says_of_publisher(|_| {});
            return self.dead.cancel();
        }
        if happens == BehindTheSwitch::OldCloses {
            old.closed.cancel();
        }
        old.dead.cancel();
        let floor = old.last_floor();
        self.serve(floor).await;
    }

    async fn close_within(self, time: Duration) {
        self.closes.store(true, Ordering::Relaxed);
        sleep(time / 2).await;
        self.reaches(400);
        sleep(time / 2).await;
        self.closed.cancel();
        self.dead.cancel();
    }

    /// Announces so much of a segment behind the last whole one.
    pub(super) fn reaches(&self, millis: i64) -> Floor {
        let whole = self.last_floor().unwrap();
        let media_end = MediaTime(whole.media_end.0 + millis * 1000);
        let reached = Floor { msn: whole.msn.next(), media_end, ..whole };
        self.say(Announcement::Reached(reached));
        reached
    }

    pub(super) fn last_floor(&self) -> Option<Floor> {
        self.said.borrow().iter().rev().find_map(|said| match said {
            Announcement::Floor(floor) => Some(*floor),
            _ => None,
        })
    }

    /// The last position that it has announced.
    pub(super) fn last_reached(&self) -> Option<Floor> {
        self.said.borrow().iter().rev().find_map(|said| match said {
            Announcement::Floor(floor) | Announcement::Reached(floor) => Some(*floor),
            _ => None,
        })
    }

    /// It has no publisher, and ends by itself.
    pub(super) fn closes(&self) -> bool {
        self.closes.load(Ordering::Relaxed)
    }

    /// What one connection to it hears, from the beginning.
    pub(super) fn heard(self) -> impl Announcements {
        let said = self.said.subscribe();
        Heard { worker: self, said, read: 0 }
    }

    /// Whoever releases it waits for ever.
    pub(super) fn hangs(&self) {
        self.closes.store(true, Ordering::Relaxed);
    }

    pub(super) fn says_of_publisher(&self, change: impl FnOnce(&mut InputState)) {
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
        while !self.closes() {
            let media_end = MediaTime(i64::try_from(msn.0).unwrap() * 2_000_000);
            self.say(Announcement::Floor(Floor { msn, discontinuity: 0, media_end, epoch: None }));
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
            let cut_off = self.worker.cut_off.clone();
            let silence = async {
                cut_off.cancelled().await;
                sleep(FEED_SILENCE).await;
            };
            tokio::select! {
                biased;
                () = silence => Err(LinkLost("silent".to_owned())),
                said = self.said.wait_for(|said| said.len() > read), if !cut_off.is_cancelled() => {
                    self.read += 1;
                    Ok(Some(said.unwrap()[read].clone()))
                }
                () = self.worker.closed.cancelled() => Ok(Some(Announcement::Closed)),
                () = self.worker.dead.cancelled() => Err(LinkLost("dead".to_owned())),
                () = sleep(Duration::from_secs(1)), if !cut_off.is_cancelled() => Ok(Some(Announcement::Alive)),
            }
        })
    }
}
