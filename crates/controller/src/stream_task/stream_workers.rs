//! The jobs of a stream's task that get it its workers, and hear them.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::credentials::Recipient;
use caudal_livestream::lifecycle::WorkerOrder;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, UnixMillis};
use tokio::sync::watch;
use tokio::time::sleep;

use super::credentials::keep_renewed;
use super::last_words::Following;
use super::worker_orders::{assign, claim};
use super::{Outcome, StreamTask};
use crate::follow::Follower;
use crate::worker_link::NotAssigned;

impl StreamTask {
    /// Ends whatever the claims of these epochs came to, behind the claims themselves.
    pub(super) fn withdraw_claims(&mut self, epochs: &[Epoch]) {
        for epoch in epochs.iter().copied() {
            if !self.withdrawing.insert(epoch) {
                continue;
            }
            self.observed.gave_up(epoch, "not wanted any more");
            if let Some((_, claim)) = self.worker_jobs.remove(&epoch) {
                claim.abort();
            }
            let claimed = self.claiming.ended(epoch);
            let (workers, stream) = (Arc::clone(&self.shared.carriers.workers), self.stream);
            self.jobs.spawn(async move {
                claimed.await;
                workers.withdraw_claim(stream, epoch).await;
                Outcome::ClaimWithdrawn(epoch)
            });
        }
    }

    /// Ends every worker that was claimed for the stream, behind the claims themselves.
    pub(super) fn withdraw_all(&self) -> impl Future<Output = ()> + Send + use<> {
        let claimed = self.claiming.all_ended();
        let (workers, stream) = (Arc::clone(&self.shared.carriers.workers), self.stream);
        async move {
            claimed.await;
            workers.withdraw(stream).await;
        }
    }

    pub(super) fn order_workers(&mut self, orders: [Option<WorkerOrder>; 2]) {
        let orders: Vec<_> = orders.into_iter().flatten().collect();
        self.worker_jobs.retain(|epoch, (_, running)| {
            let wanted = orders.iter().any(|order| order.epoch() == *epoch);
            if !wanted {
                running.abort();
                self.observed.gave_up(*epoch, "it is not wanted any more");
            }
            wanted
        });
        for order in orders {
            self.order_worker(order);
        }
    }

    fn order_worker(&mut self, order: WorkerOrder) {
        match (self.worker_jobs.get(&order.epoch()), order) {
            (Some((running, _)), order) if *running == order => return,
            // A request that is on its way to the worker is answered before another is sent.
            (Some((WorkerOrder::Assign { worker: busy, .. }, _)), WorkerOrder::Assign { worker, .. })
                if *busy == worker =>
            {
                return;
            }
            (Some((_, running)), _) => running.abort(),
            (None, _) => {}
        }
        let job = match order {
            WorkerOrder::Claim(epoch) => {
                self.observed.wants(epoch, &self.record.machine);
                let claimed = claim(Arc::clone(&self.shared), self.stream, epoch, self.inputs.0.clone());
                let (before, under_way) = self.claiming.begin(epoch);
                let pause = pause_after(self.refusals);
                self.jobs.spawn(async move {
                    let _under_way = under_way;
                    before.await;
                    if !pause.is_zero() {
                        sleep(pause).await;
                    }
                    Outcome::Claimed(epoch, claimed.await)
                })
            }
            WorkerOrder::Assign { epoch, worker, mode } => {
                let assignment = self.assignment(epoch, worker, mode);
                let (shared, stream, inputs) = (Arc::clone(&self.shared), self.stream, self.inputs.0.clone());
                self.jobs.spawn(async move {
                    match assign(&shared, worker, assignment, &inputs).await {
                        Ok(()) => Outcome::Assigned(epoch, mode),
                        Err(failure) => {
                            tracing::warn!(reason = %failure, %stream, %epoch, worker = %worker.worker, "assignment failed");
                            let refused = matches!(failure, NotAssigned::Refused(_));
                            let claimed = if refused { shared.media.highest_claim(stream).await } else { None };
                            Outcome::NotAssigned { epoch, reason: failure, claimed }
                        }
                    }
                })
            }
        };
        self.worker_jobs.insert(order.epoch(), (order, job));
    }

    fn assignment(&self, epoch: Epoch, worker: WorkerAddress, mode: AssignmentMode) -> Option<Assignment> {
        let spec = self.record.spec.as_ref()?;
        let carriers = &self.shared.carriers;
        Some(Assignment {
            worker: worker.worker,
            stream: self.stream,
            epoch,
            generation: self.machine().generation(),
            mode,
            floor: self.machine().floor(),
            ladder: spec.renditions.clone(),
            latency_mode: spec.latency_mode,
            record: spec.record,
            hints: spec.hints,
            input_key_digest: carriers.router_key.proof(self.stream, epoch).digest(),
            feed_key_digest: carriers.feed_key.proof(self.stream, epoch).digest(),
            other_input_key_digests: carriers.router_key.other_digests(self.stream, epoch),
            other_feed_key_digests: carriers.feed_key.other_digests(self.stream, epoch),
            // Set when it is sent, both.
            credentials: None,
            expires: UnixMillis(0),
        })
    }

    pub(super) fn follow(&mut self, wanted: [Option<(Epoch, WorkerAddress)>; 3]) {
        let wanted: Vec<_> = wanted.into_iter().flatten().collect();
        self.following.retain(|epoch, following| {
            let kept = wanted.iter().any(|(wanted, _)| wanted == epoch);
            if !kept {
                following.job.abort();
                if let Some(renewal) = &following.renewal {
                    renewal.abort();
                }
            }
            kept
        });
        for (epoch, worker) in wanted {
            if self.following.contains_key(&epoch) {
                continue;
            }
            let carriers = &self.shared.carriers;
            let (reach, reached) = watch::channel(None);
            let follower = Follower {
                link: Arc::clone(&carriers.link),
                workers: Arc::clone(&carriers.workers),
                stream: self.stream,
                worker,
                epoch,
                proof: carriers.feed_key.proof(self.stream, epoch),
                inputs: self.inputs.0.clone(),
                reached: reach,
                standstill: Arc::clone(&self.shared.standstill),
                earshot: Arc::clone(&self.shared.earshot),
            };
            let job = self.jobs.spawn(async move {
                follower.run().await;
                Outcome::FeedEnded
            });
            let renewal = self.shared.carriers.credentials.clone().map(|source| {
                let recipient = Recipient { worker: worker.worker, stream: self.stream, epoch };
                let renewing = keep_renewed(Arc::clone(&self.shared), source, worker, recipient);
                self.jobs.spawn(async move { match renewing.await {} })
            });
            self.following.insert(epoch, Following { job, renewal, reached });
        }
    }
}

/// Before the next worker is claimed, after so many in a row that did not take their assignment: where none can, as on a full
/// disk, each that is tried costs a process.
fn pause_after(refusals: u32) -> Duration {
    // The first may have been behind an epoch that only storage knew of.
    let doubled = 1_u32.checked_shl(refusals.saturating_sub(2)).unwrap_or(u32::MAX);
    if refusals < 2 { Duration::ZERO } else { FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE) }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
