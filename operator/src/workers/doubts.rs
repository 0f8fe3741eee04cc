//! Nodes on which pods do not come up.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Where a pod did not come up, and since when. What is made next is rather put elsewhere, whichever broadcast it is for.
#[derive(Default)]
pub(super) struct Doubts(Mutex<HashMap<String, Instant>>);

impl Doubts {
    pub(super) fn add(&self, node: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned(), Instant::now());
    }

    pub(super) fn nodes(&self) -> BTreeSet<String> {
        let mut doubted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.retain(|_, since| since.elapsed() < DOUBTED);
        doubted.keys().cloned().collect()
    }
}

/// Kubernetes says after 40 s of a machine that it is gone, and puts no pod there from then on.
const DOUBTED: Duration = Duration::from_mins(1);
