//! How many of the places that a pool has for pods are taken, as whoever wants one has to count them.

use std::collections::HashSet;

use caudal_livestream::StreamId;

/// Whom a pod is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeFor {
    /// A pool, in which it waits.
    Pool,
    /// A broadcast that has no worker yet, or is to move to it.
    Broadcast(StreamId),
    /// A broadcast that has lost its worker.
    Replacement(StreamId),
}

/// A place that a pod has, or will have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// The broadcast of the pod.
    pub(super) by: Option<StreamId>,
    /// The pod is being deleted.
    pub(super) leaving: bool,
}

/// How many places there are fewer for a pod.
///
/// A lost worker has its place until its process has ended, or should have, and of a machine that is gone nobody hears that for a minute.
/// So whoever replaces one counts the other broadcasts instead of their pods: a machine that takes more workers along than there is room
/// for beside them ends no broadcast.
pub(super) fn taken(places: impl Iterator<Item = Taken>, made_for: MadeFor) -> usize {
    match made_for {
        MadeFor::Pool => places.count(),
        MadeFor::Broadcast(stream) => {
            places.filter(|place| !(place.leaving && place.by == Some(stream))).count()
        }
        MadeFor::Replacement(stream) => {
            let mut broadcasts = HashSet::from([stream]);
            places.filter(|place| place.by.is_none_or(|by| broadcasts.insert(by))).count()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_replaces_a_lost_worker_counts_broadcasts_and_everybody_else_counts_pods() {
        let [lost, other, moves] = [0; 3].map(|_| StreamId::generate());
        let place = |by, leaving| Taken { by, leaving };
        let places = [
            place(None, false),
            place(Some(lost), true),
            // Lost with it, and replaced.
            place(Some(other), true),
            place(Some(other), false),
            place(Some(moves), false),
            place(Some(moves), false),
        ];
        for (made_for, expected) in [
            (MadeFor::Pool, 6),
            (MadeFor::Broadcast(StreamId::generate()), 6),
            (MadeFor::Broadcast(lost), 5),
            (MadeFor::Broadcast(moves), 6),
            (MadeFor::Replacement(lost), 3),
            (MadeFor::Replacement(moves), 3),
        ] {
            assert_eq!(taken(places.into_iter(), made_for), expected, "{made_for:?}");
        }
    }
}
