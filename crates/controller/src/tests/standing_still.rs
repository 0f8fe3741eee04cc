//! A controller that does not run for some seconds: stopped by somebody, or on a machine that is suspended or too busy.

use std::sync::atomic::{AtomicBool, Ordering};

use caudal_livestream::WorkerId;
use caudal_livestream::lifecycle::{Evidence, Input};
use caudal_livestream::proof::{Proof, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use futures::future::BoxFuture;
use tokio::time::advance;

use super::*;
use crate::follow::Follower;

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
    fn claim(
        &self,
        _: StreamId,
        _: Epoch,
        _: &Pool,
    ) -> BoxFuture<'static, Result<WorkerAddress, ClaimError>> {
        Box::pin(async { Err(ClaimError::NoCapacity) })
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

#[tokio::test(start_paused = true)]
async fn a_worker_is_not_lost_for_what_its_controller_did_not_hear_while_that_stood_still() {
    let worker = Arc::new(Worker { answers: AtomicBool::new(true) });
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let (inputs, mut said) = mpsc::channel(16);
    let follower = Follower {
        link: worker.clone(),
        workers: worker.clone(),
        worker: WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere },
        epoch: Epoch(1),
        proof: RoleKey::new([2; 32]).proof(StreamId::generate(), Epoch(1)),
        inputs,
    };
    let following = tokio::spawn(follower.run());
    sleep(Duration::from_secs(1)).await;
    // All timers fire at once, and late.
    advance(Duration::from_secs(9)).await;
    sleep(Duration::from_secs(2)).await;
    assert!(said.try_recv().is_err(), "it is heard again");
    worker.answers.store(false, Ordering::Relaxed);
    let begun = Instant::now();
    assert_eq!(said.recv().await, Some(Input::WorkerLost(Epoch(1), Evidence::FeedSilent)));
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    following.await.unwrap();
}
