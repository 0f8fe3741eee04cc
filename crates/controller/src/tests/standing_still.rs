//! A controller that does not run for some seconds: stopped by somebody, or on a machine that is suspended or too busy.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use caudal_livestream::WorkerId;
use caudal_livestream::credentials::SealingPublicKey;
use caudal_livestream::lifecycle::{Evidence, Input};
use caudal_livestream::proof::{Proof, SignedAssignment, SignedRenewal};
use caudal_livestream::record::WorkerAddress;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prometheus::IntGauge;
use tokio::task::JoinHandle;
use tokio::time::advance;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::*;
use crate::follow::Follower;
use crate::queue::Receiver;
use crate::standstill::LoggedStandstill;
use crate::waiting::Waiting;

/// A worker that says once on each connection that it is there, for as long as it answers.
struct Worker {
    answers: AtomicBool,
}

struct Connection {
    alive: bool,
}

impl WorkerLink for Worker {
    fn assign<'a>(
        &'a self,
        _worker: &'a WorkerAddress,
        _assignment: &'a SignedAssignment,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        Box::pin(async { Ok(()) })
    }

    fn key<'a>(
        &'a self,
        _worker: &'a WorkerAddress,
    ) -> BoxFuture<'a, Result<Option<SealingPublicKey>, NotAssigned>> {
        Box::pin(async { Ok(None) })
    }

    fn renew<'a>(
        &'a self,
        _worker: &'a WorkerAddress,
        _renewal: &'a SignedRenewal,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        unreachable!("its credentials are its own")
    }

    fn follow<'a>(
        &'a self,
        _worker: &'a WorkerAddress,
        _proof: &'a Proof,
    ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>> {
        let alive = self.answers.load(Ordering::Relaxed);
        Box::pin(async move {
            let connection: Box<dyn Announcements> = Box::new(Connection { alive });
            Ok(connection)
        })
    }
}

impl Announcements for Connection {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Announcement>, LinkLost>> {
        Box::pin(async move {
            if !std::mem::take(&mut self.alive) {
                sleep(FEED_SILENCE).await;
                return Err(LinkLost("silent".to_owned()));
            }
            Ok(Some(Announcement::Alive))
        })
    }
}

impl Workers for Worker {
    fn claim(&self, _: StreamId, _: Epoch, _: &Pool) -> BoxFuture<'static, Result<Claimed, ClaimError>> {
        Box::pin(async { Err(ClaimError::NoCapacity("there is none".to_owned())) })
    }

    fn exited(&self, _: WorkerId) -> BoxFuture<'static, Presence> {
        Box::pin(async { Presence::Unknown })
    }

    fn release(&self, _: WorkerId) -> BoxFuture<'static, Presence> {
        Box::pin(async { Presence::Unknown })
    }

    fn withdraw_claim(&self, _: StreamId, _: Epoch) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }

    fn withdraw(&self, _: StreamId) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// The worker's follower, and what it says.
fn followed(worker: &Arc<Worker>, standstill: &Arc<LoggedStandstill>) -> (JoinHandle<()>, Receiver<Input>) {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let (inputs, said) = queue::channel(16, Waiting::new(IntGauge::new("depth", "of a queue").unwrap()));
    let follower = Follower {
        link: worker.clone(),
        workers: worker.clone(),
        stream: StreamId::generate(),
        worker: WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere },
        epoch: Epoch(1),
        proof: RoleKey::new([2; 32]).proof(StreamId::generate(), Epoch(1)),
        inputs,
        reached: watch::Sender::new(None),
        standstill: Arc::clone(standstill),
        earshot: Arc::default(),
    };
    (tokio::spawn(follower.run()), said)
}

/// How many warnings were logged.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicU32>);

impl Warnings {
    /// Counts until the guard is dropped. For each test that comes upon the warning: a thread without a subscriber that is the
    /// first to come upon it may switch it off for all others.
    fn count() -> (Self, DefaultGuard) {
        let warnings = Self::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(warnings.clone()));
        (warnings, guard)
    }

    fn so_far(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::WARN {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_not_lost_for_what_its_controller_did_not_hear_while_that_stood_still() {
    let (warnings, _guard) = Warnings::count();
    let worker = Arc::new(Worker { answers: AtomicBool::new(true) });
    let (following, mut said) = followed(&worker, &Arc::default());
    sleep(Duration::from_secs(1)).await;
    // All timers fire at once, and late.
    advance(Duration::from_secs(9)).await;
    sleep(Duration::from_secs(2)).await;
    assert!(said.recv().now_or_never().is_none(), "it is heard again");
    assert_eq!(warnings.so_far(), 1);
    worker.answers.store(false, Ordering::Relaxed);
    let begun = Instant::now();
    assert_eq!(said.recv().await, Some(Input::WorkerLost(Epoch(1), Evidence::FeedSilent)));
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    following.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn that_the_controller_stood_still_is_logged_once_however_many_streams_it_has() {
    let (warnings, _guard) = Warnings::count();
    let worker = Arc::new(Worker { answers: AtomicBool::new(true) });
    let standstill = Arc::default();
    let mut followed: Vec<_> = Vec::new();
    for _ in 0..5 {
        followed.push(self::followed(&worker, &standstill));
        // Each of them waits since another moment.
        sleep(Duration::from_millis(300)).await;
    }
    for times in 1..=3 {
        advance(Duration::from_secs(9)).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(warnings.so_far(), times);
    }
    for (following, said) in followed {
        drop(said);
        following.abort();
    }
}
