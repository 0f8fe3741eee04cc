//! Workers of a broadcast that it knows nothing of.

use caudal_kubernetes::names::is_paused;
use caudal_kubernetes::{LiveStream, StoredLifecycle};

use super::Unwanted;
use crate::pods::WorkerPod;

/// Why a pod that is claimed for this broadcast is none that its machine has, is getting, or is to end: an operator that had lost the
/// lease claimed it, in a call that was under way. What cannot be read wants everything that it may want.
pub(super) fn surplus(resource: &LiveStream, pod: &WorkerPod) -> Option<Unwanted> {
    let (_, epoch) = pod.claim?;
    if is_paused(resource) {
        return None;
    }
    let stored = resource.status.as_ref().and_then(|status| status.lifecycle.as_ref());
    match stored.map(StoredLifecycle::read) {
        Some(Ok(machine)) => (!machine.may_have(epoch, pod.worker)).then_some(Unwanted::Surplus),
        Some(Err(_)) => None,
        // Nothing is left to be done for it.
        None => resource.memento_since().map(|_| Unwanted::Over),
    }
}
