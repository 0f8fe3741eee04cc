//! Moves live broadcasts off nodes that are being emptied, so that `kubectl drain` comes to an end: no claimed worker may be evicted, and one
//! whose broadcast has moved ends.

use std::time::Duration;

use crate::departures::{Departures, Leaving, Why};
use crate::pauses::Pauses;
use crate::pods::Pods;
use crate::records::LiveStreams;

/// Whoever leads runs it.
pub(crate) struct Drain {
    pods: Pods,
    streams: LiveStreams,
    pauses: Pauses,
    departures: Departures,
    at_once: usize,
}

impl Drain {
    /// Moves `at_once` broadcasts at the same time, at most.
    pub(crate) fn new(
        pods: Pods,
        streams: LiveStreams,
        pauses: Pauses,
        departures: Departures,
        at_once: usize,
    ) -> Self {
        Self { pods, streams, pauses, departures, at_once }
    }

    /// Looks each second, and moves what is to be moved; never ends.
    pub(crate) async fn run(mut self) {
        loop {
            self.departures.take_in(EACH).await;
            self.look();
        }
    }

    fn look(&mut self) {
        let due = self.departures.due(on_emptied_nodes(&self.pods, &self.streams, &self.pauses));
        let places = self.at_once.saturating_sub(self.departures.under_way().count());
        for (leaving, attempt) in due.into_iter().take(places) {
            self.departures.begin(leaving, attempt);
        }
    }
}

/// The broadcasts that are to leave their nodes.
pub(crate) fn on_emptied_nodes(pods: &Pods, streams: &LiveStreams, pauses: &Pauses) -> Vec<Leaving> {
    let there = pods.claimed().into_iter().filter_map(|pod| {
        let emptied = pods.must_leave(&pod)?;
        let (stream, _) = pod.claim?;
        // The worker that a broadcast is just being moved to counts once it has it, and the one that had it no longer.
        let serves = streams.worker(stream) == Some(pod.worker);
        let node = pod.node.clone().unwrap_or_default();
        (serves && !pauses.holds(stream)).then_some(Leaving { stream, why: Why::Node { node, emptied } })
    });
    there.collect()
}

/// `kubectl drain` asks again each five seconds.
const EACH: Duration = Duration::from_secs(1);
