//! Making a pod for a stream for which no warm one was to be had.

use std::sync::Arc;

use caudal_controller::ClaimError;
use caudal_kubernetes::WorkerPool;
use caudal_kubernetes::calls::{Failure, Haste, call, call_if};
use caudal_kubernetes::names::cold_pods;
use kube::api::PostParams;

use super::{Claim, FIRST, Shared};
use crate::build;
use crate::pods::{MadeFor, WorkerPod};

impl Shared {
    /// Under the first of its names that neither somebody else's pod has, nor one that is being deleted: while these stay, the choice is the
    /// same for every claim of this epoch. After leaving the pod of one name, those behind that name come first, even where it is free
    /// again, so that the suffix counts the pods that were left.
    pub(super) async fn create(
        &self,
        pool: &WorkerPool,
        claim: &Claim<'_>,
    ) -> Result<Arc<WorkerPod>, ClaimError> {
        let mut names = cold_pods(claim.stream, claim.epoch);
        let left = names.iter().position(|name| claim.left.as_ref() == Some(name));
        names.rotate_left(left.map_or(0, |left| left.saturating_add(1)));
        for name in names {
            if let Some(pod) = self.create_as(&name, pool, claim).await?
                && let Some(pod) = self.claimed_before(pod).await?
            {
                return Ok(pod);
            }
        }
        Err(ClaimError::Unavailable("other pods have all the names that its worker could have".to_owned()))
    }

    /// None where another pod has this name.
    async fn create_as(
        &self,
        name: &str,
        pool: &WorkerPool,
        claim: &Claim<'_>,
    ) -> Result<Option<Arc<WorkerPod>>, ClaimError> {
        let Claim { stream, epoch, owner, broadcasts, given_up, .. } = *claim;
        let large_enough = build::large_enough(pool, &claim.renditions);
        let pod = build::cold(&large_enough, stream, epoch, owner, &self.settings);
        let mut pod = build::elsewhere(pod, &claim.doubted);
        pod.metadata.name = Some(name.to_owned());
        // A pool that was made smaller than what is in it replaces the workers of that still.
        let places = pool.spec.max_workers.max(broadcasts).saturating_add(pool.spec.move_surge);
        let of_pool = pool.metadata.name.as_deref().unwrap_or_default();
        let made_for = if epoch > FIRST && !self.owners.has_worker(stream) {
            MadeFor::Replacement(stream)
        } else {
            MadeFor::Broadcast(stream)
        };
        if !self.pods.expect_for(made_for, name, of_pool, places) {
            return Err(ClaimError::NoCapacity(format!(
                "the pool {of_pool} is full: it has all the {places} workers that it may have"
            )));
        }
        let params = PostParams::default();
        let create = self.api.create(&params, &pod);
        // It may wait for its turn for longer than this operator leads.
        let created = call_if(Haste::Awaited, || !given_up.is_cancelled(), create).await;
        let outcome = match created {
            Ok(created) => Ok(created),
            // An earlier controller's, or this one's whose answer was lost; the cache does not know it yet. Or somebody else's.
            Err(Failure::AlreadyExists) => call(self.api.get(name)).await,
            Err(error) => Err(error),
        };
        let known = outcome.as_ref().ok().and_then(|found| self.pods.wrote(found));
        self.pods.answered(name);
        match outcome {
            Ok(_) => {
                let is_its = |pod: &Arc<WorkerPod>| {
                    pod.ours && pod.owner.as_deref() == Some(owner) && pod.claim == Some((stream, epoch))
                };
                if !known.as_ref().is_some_and(|pod| pod.ours && pod.pool == of_pool) {
                    self.pods.in_the_way(name, of_pool);
                }
                Ok(known.filter(is_its))
            }
            Err(Failure::Quota(reason)) => {
                Err(ClaimError::NoCapacity(format!("a quota allows no pod {name}: {reason}")))
            }
            Err(error) => Err(ClaimError::Unavailable(format!("pod {name} is not made: {error}"))),
        }
    }
}
