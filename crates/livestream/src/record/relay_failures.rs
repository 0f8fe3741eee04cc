//! The router's evidence that a worker cannot be reached.

use serde::{Deserialize, Serialize};

use crate::{Epoch, SessionId, UnixMillis};

/// How often a session's relay to the worker of an epoch failed in a way that speaks against the worker.
///
/// A count and not an event, because whoever watches a record sees the last of several changes: what is new is told by
/// comparing two counts, so that a change that was merged with others, or seen twice, counts right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayFailures {
    /// The worker's assignment.
    pub epoch: Epoch,
    /// The publisher's connection whose relay failed.
    pub session: SessionId,
    /// So many, since this session met this epoch.
    pub failures: u32,
    /// The last of them, by the router's clock.
    pub last_failed_at: UnixMillis,
}

impl RelayFailures {
    /// The count after another failure, which another epoch or session begins anew.
    #[must_use]
    pub fn after(known: Option<Self>, epoch: Epoch, session: SessionId, now: UnixMillis) -> Self {
        let before = known.filter(|known| known.epoch == epoch && known.session == session);
        let failures = before.map_or(0, |known| known.failures).saturating_add(1);
        Self { epoch, session, failures, last_failed_at: now }
    }

    /// How many of these failures are not among the `known` ones. None are when `known` is of another epoch and failed
    /// later: these were late. A lower epoch alone says nothing, because a move that is given up leaves the stream at it.
    pub fn new_since(&self, known: Option<&Self>) -> u32 {
        match known.filter(|known| known.session == self.session) {
            Some(known) if known.epoch == self.epoch => self.failures.saturating_sub(known.failures),
            Some(known) if known.last_failed_at > self.last_failed_at => 0,
            _ => self.failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(epoch: u32, session: SessionId, failures: u32) -> RelayFailures {
        RelayFailures { epoch: Epoch(epoch), session, failures, last_failed_at: UnixMillis(1) }
    }

    #[test]
    fn what_is_new_of_a_count_is_told_by_the_one_before() {
        let (one, other) = (SessionId::generate(), SessionId::generate());
        for (case, known, told, new) in [
            ("the first", None, failures(1, one, 1), 1),
            ("several whose writes were merged", None, failures(1, one, 3), 3),
            ("one more", Some(failures(1, one, 3)), failures(1, one, 4), 1),
            ("a write that is seen twice", Some(failures(1, one, 4)), failures(1, one, 4), 0),
            ("an older write behind a newer one", Some(failures(1, one, 4)), failures(1, one, 2), 0),
            ("of the next worker", Some(failures(1, one, 4)), failures(2, one, 1), 1),
            (
                "of the former worker, too late",
                Some(RelayFailures { last_failed_at: UnixMillis(2), ..failures(2, one, 1) }),
                failures(1, one, 5),
                0,
            ),
            (
                "of the worker that a move has left in its place",
                Some(failures(2, one, 4)),
                RelayFailures { last_failed_at: UnixMillis(2), ..failures(1, one, 1) },
                1,
            ),
            ("of the next publisher", Some(failures(2, one, 4)), failures(2, other, 2), 2),
        ] {
            assert_eq!(told.new_since(known.as_ref()), new, "{case}");
        }
    }

    #[test]
    fn a_router_counts_anew_for_each_worker_of_each_publisher() {
        let (one, other) = (SessionId::generate(), SessionId::generate());
        let at = UnixMillis(1);
        let first = RelayFailures::after(None, Epoch(1), one, at);
        let second = RelayFailures::after(Some(first), Epoch(1), one, at);
        assert_eq!((first.failures, second.failures), (1, 2));
        assert_eq!(RelayFailures::after(Some(second), Epoch(2), one, at), failures(2, one, 1));
        assert_eq!(RelayFailures::after(Some(second), Epoch(1), other, at), failures(1, other, 1));
    }
}
