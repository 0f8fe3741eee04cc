//! Moves live broadcasts off nodes that are being emptied, so that `kubectl drain` comes to an end: no claimed worker may be evicted, and one
//! whose broadcast has moved ends.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use caudal_controller::{Controller, MoveError, Moved};
use kube::runtime::events::{Event, EventType};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::events::Notices;
use crate::pauses::Pauses;
use crate::pods::Pods;
use crate::records::LiveStreams;
use plan::{End, Leaving, Plan};

/// Whoever leads runs it.
pub(crate) struct Drain {
    pods: Pods,
    streams: LiveStreams,
    pauses: Pauses,
    controller: Arc<Controller>,
    notices: Notices,
    plan: Plan,
    moving: JoinSet<(Leaving, Result<Moved, MoveError>)>,
}

impl Drain {
    /// Moves `at_once` broadcasts at the same time, at most.
    pub(crate) fn new(
        pods: Pods,
        streams: LiveStreams,
        pauses: Pauses,
        controller: Arc<Controller>,
        notices: Notices,
        at_once: usize,
    ) -> Self {
        Self { pods, streams, pauses, controller, notices, plan: Plan::new(at_once), moving: JoinSet::new() }
    }

    /// Looks each second, and moves what is to be moved; never ends.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                // A move that panicked keeps its place until another operator leads.
                Some(moved) = self.moving.join_next() => {
                    if let Ok((leaving, outcome)) = moved {
                        self.ended(&leaving, &outcome);
                    }
                }
                () = sleep(EACH) => self.look(),
            }
        }
    }

    fn look(&mut self) {
        let there = self.pods.that_must_leave().into_iter().filter_map(|(pod, why)| {
            let (stream, _) = pod.claim?;
            // The worker that a broadcast is just being moved to counts once it has it, and the one that had it no longer.
            let serves = self.streams.worker(stream) == Some(pod.worker);
            (serves && !self.pauses.holds(stream)).then(|| Leaving {
                stream,
                node: pod.node.clone().unwrap_or_default(),
                why,
            })
        });
        let there: Vec<_> = there.collect();
        for (leaving, attempt) in self.plan.next(there, Instant::now()) {
            if attempt.is_first() {
                let Leaving { stream, node, why } = &leaving;
                tracing::info!(%stream, node, %why, "a broadcast is to leave its node");
                let words = format!("leaves node {node}, which is {why}");
                self.say(&leaving, EventType::Normal, "LeavesNode", &words);
            }
            let controller = Arc::clone(&self.controller);
            self.moving.spawn(async move {
                let moved = controller.move_stream(leaving.stream).await;
                (leaving, moved)
            });
        }
    }

    fn ended(&mut self, leaving: &Leaving, outcome: &Result<Moved, MoveError>) {
        let end = End::of(outcome);
        let pause = self.plan.ended(leaving.stream, end, Instant::now());
        let Err(error) = outcome else { return };
        let Leaving { stream, node, why } = leaving;
        if end == End::NotNow {
            tracing::debug!(%stream, node, %error, "a broadcast cannot leave its node now");
            return;
        }
        tracing::warn!(%stream, node, %why, %error, ?pause, "a broadcast could not leave its node; trying again after a pause");
        // Without the pause: the same words again are counted by one Event.
        let words = format!("cannot leave node {node}, which is {why}: {error}; this is tried again");
        self.say(leaving, EventType::Warning, "CannotLeaveNode", &words);
    }

    fn say(&self, leaving: &Leaving, type_: EventType, reason: &str, words: &str) {
        let Some(resource) = self.streams.resource(leaving.stream) else { return };
        let note = Some(format!("{}: {words}", resource.spec.channel.unwrap_or_default()));
        let (reason, action) = (reason.to_owned(), "Move".to_owned());
        self.notices.tell(leaving.stream, Event { type_, reason, note, action, secondary: None });
    }
}

/// `kubectl drain` asks again each five seconds.
const EACH: Duration = Duration::from_secs(1);
