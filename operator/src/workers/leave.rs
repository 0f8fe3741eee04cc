//! Leaving a pod that does not come up.

use std::sync::Arc;

use caudal_controller::ClaimError;
use caudal_kubernetes::calls::Haste;

use super::prospect::Prospect;
use super::{Claim, Shared};
use crate::pods::{Known, WorkerPod};

/// What became of the pod that a claim had and was to leave.
pub(super) enum Leave {
    /// The claim has none, or has none any more: it may get another one.
    Left,
    /// Somebody has changed it just then, so it is the claim's still.
    Kept(Arc<WorkerPod>),
}

impl Shared {
    /// Leaves the pod that the claim has, and that does not come up, for another one.
    pub(super) async fn leave(&self, claim: &mut Claim<'_>) -> Result<Leave, ClaimError> {
        let Some((prospect, pod)) = claim.instead_of.take() else { return Ok(Leave::Left) };
        let still = || !claim.given_up.is_cancelled();
        let deleted = self.delete_if(&pod, Haste::Awaited, still).await;
        deleted.map_err(|error| ClaimError::Unavailable(error.to_string()))?;
        if let Known::There(pod) = self.pods.known(pod.worker)
            && !pod.leaving
        {
            return Ok(Leave::Kept(pod));
        }
        let (stream, node) = (claim.stream, pod.node.as_deref());
        tracing::warn!(%stream, pod = pod.name, node, "a pod does not come up; its broadcast gets another one");
        claim.left = Some(pod.name.clone());
        if let Some(node) = node {
            // Not where its kubelet only pulls the image.
            if prospect == Prospect::Stuck {
                self.doubts.add(node);
            }
            claim.doubted.insert(node.to_owned());
        }
        Ok(Leave::Left)
    }
}
