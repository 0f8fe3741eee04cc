//! Workers that were silent a moment ago, so that their nodes may be gone. Kubernetes takes 40 s to notice that.

use std::collections::HashMap;
use std::time::Duration;

use caudal_livestream::WorkerId;
use tokio::time::Instant;

/// The workers that are doubted. What becomes of them shows elsewhere; a doubt ends by itself.
#[derive(Default)]
pub(super) struct Doubts(HashMap<WorkerId, Instant>);

impl Doubts {
    pub(super) fn add(&mut self, worker: WorkerId, now: Instant) {
        self.0.retain(|_, since| is_fresh(*since, now));
        self.0.insert(worker, now);
    }

    pub(super) fn has(&self, worker: WorkerId, now: Instant) -> bool {
        self.0.get(&worker).is_some_and(|since| is_fresh(*since, now))
    }
}

fn is_fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < HOLDS
}

/// By then, pods of a node that is gone are not ready any more.
const HOLDS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_ends_by_itself_and_is_not_kept_for_ever() {
        let (mut doubts, now) = (Doubts::default(), Instant::now());
        let (one, other) = (WorkerId::generate(), WorkerId::generate());
        assert!(!doubts.has(one, now));
        doubts.add(one, now);
        assert!(doubts.has(one, now + HOLDS / 2));
        assert!(!doubts.has(one, now + HOLDS));
        doubts.add(other, now + HOLDS);
        assert_eq!(doubts.0.len(), 1);
    }
}
