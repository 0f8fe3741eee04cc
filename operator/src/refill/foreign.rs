//! Pods that have a worker's labels, or the name of one, and are none of the operator's.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// What was told of them, and when it was looked whether they are still there.
#[derive(Default)]
pub(super) struct Foreign {
    /// Those with a worker's labels, by pool.
    told: HashMap<String, BTreeSet<String>>,
    /// Those with a worker's name alone.
    looked: HashMap<String, Instant>,
}

impl Foreign {
    /// Says of each of a pool that it is there, once in the log. The pool's condition names them.
    pub(super) fn tell(&mut self, pool: &str, foreign: &BTreeSet<String>) {
        let told = self.told.insert(pool.to_owned(), foreign.clone()).unwrap_or_default();
        for pod in foreign.difference(&told) {
            tracing::warn!(
                pool,
                pod,
                "a pod has a worker's labels, but not all of them, or the operator has not made it, or nothing of ours owns it: it is no worker, and is left alone"
            );
        }
    }

    /// Whether to look again for the pod of this name, which was just seen where it was never asked for before.
    pub(super) fn is_due(&mut self, name: &str, now: Instant) -> bool {
        let looked = self.looked.entry(name.to_owned()).or_insert(now);
        let is_due = now.duration_since(*looked) >= AGAIN;
        if is_due {
            *looked = now;
        }
        is_due
    }

    /// It is there no longer.
    pub(super) fn forget(&mut self, name: &str) {
        self.looked.remove(name);
    }
}

/// A person removes it, and reads the condition.
const AGAIN: Duration = Duration::from_secs(30);
