//! Whether the log has said already that something may not be done with a pod.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use caudal_livestream::WorkerId;

use super::WorkerPod;

/// What a policy refuses for a pod as it is, it refuses again each time.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<WorkerId, u64>>);

impl Refusals {
    /// Whether this is the first refusal since the pod was changed last.
    pub(crate) fn is_new(&self, pod: &WorkerPod) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= REMEMBERED {
            said.clear();
        }
        said.insert(pod.worker, pod.version) != Some(pod.version)
    }
}

/// More pods than people change by hand. What is forgotten is said again.
const REMEMBERED: usize = 1_000;
