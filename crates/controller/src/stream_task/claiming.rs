//! Which claims of workers may still come to something.

use std::collections::HashMap;

use caudal_livestream::Epoch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The last claim of each epoch. One that is aborted goes on until it next waits, and may make its worker until then.
#[derive(Default)]
pub(super) struct Claiming(HashMap<Epoch, CancellationToken>);

impl Claiming {
    /// A claim begins once the one before it has ended, and has ended when the guard is dropped with it.
    pub(super) fn begin(&mut self, epoch: Epoch) -> (impl Future<Output = ()> + Send + use<>, DropGuard) {
        let before = self.ended(epoch);
        self.0.retain(|_, ended| !ended.is_cancelled());
        let ended = CancellationToken::new();
        self.0.insert(epoch, ended.clone());
        (before, ended.drop_guard())
    }

    /// Resolves when no claim of this epoch is under way any more.
    pub(super) fn ended(&self, epoch: Epoch) -> impl Future<Output = ()> + Send + use<> {
        all_ended(self.0.get(&epoch).cloned().into_iter().collect())
    }

    /// Resolves when none of the claims that have begun is under way any more.
    pub(super) fn all_ended(&self) -> impl Future<Output = ()> + Send + use<> {
        all_ended(self.0.values().cloned().collect())
    }
}

async fn all_ended(claims: Vec<CancellationToken>) {
    for ended in claims {
        ended.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_claim_that_was_aborted_in_the_middle_of_its_work_has_not_ended_before_that_is_done() {
        let mut claiming = Claiming::default();
        let (_, guard) = claiming.begin(Epoch(2));
        let (begun, has_begun) = mpsc::channel();
        let made = Arc::new(AtomicBool::new(false));
        let mut jobs = JoinSet::new();
        let makes = Arc::clone(&made);
        jobs.spawn(async move {
            let _guard = guard;
            begun.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            makes.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        });
        tokio::task::block_in_place(|| has_begun.recv().unwrap());
        jobs.abort_all();
        assert!(!made.load(Ordering::SeqCst));
        timeout(Duration::from_secs(10), claiming.all_ended()).await.unwrap();
        assert!(made.load(Ordering::SeqCst));
        let (before, _guard) = claiming.begin(Epoch(2));
        timeout(Duration::from_secs(10), before).await.unwrap();
    }

    #[tokio::test]
    async fn a_claim_has_ended_also_when_its_job_was_dropped_before_it_began() {
        let mut claiming = Claiming::default();
        claiming.ended(Epoch(2)).await;
        let (_, guard) = claiming.begin(Epoch(2));
        let ended = claiming.ended(Epoch(2));
        drop(async move { drop(guard) });
        ended.await;
    }
}
