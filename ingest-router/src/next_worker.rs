//! The relay to the worker that a stream is being moved to, from the record's word of it to the switch.

use std::time::Duration;

use caudal_rtmp::{RelayError, RelayPublisher};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::link::{Attempt, LinkEvent, Target, after};
use crate::replay::Replay;

/// It is opened ahead, and idle: a worker that cannot be reached must show that before the old one is let go.
pub(crate) struct NextWorker {
    target: Target,
    state: State,
    failures: u32,
}

enum State {
    Waiting(Instant),
    Dialling(Attempt),
    Ready {
        publisher: Box<RelayPublisher<TcpStream>>,
        /// A keyframe behind this place in the replay is the one to switch at.
        since: u64,
        opened: Instant,
    },
}

impl NextWorker {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, state: State::Waiting(Instant::now()), failures: 0 }
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// The place in the replay behind which it can be switched to; none while it is not ready.
    pub(crate) fn ready_since(&self) -> Option<u64> {
        match &self.state {
            State::Ready { since, .. } => Some(*since),
            State::Waiting(_) | State::Dialling(_) => None,
        }
    }

    /// Only a keyframe behind this place will do.
    pub(crate) fn wait_for_another(&mut self, from: u64) {
        if let State::Ready { since, .. } = &mut self.state {
            *since = from;
        }
    }

    /// The relay, if it is open.
    pub(crate) fn into_publisher(self) -> Option<Box<RelayPublisher<TcpStream>>> {
        match self.state {
            State::Ready { publisher, .. } => Some(publisher),
            State::Waiting(_) | State::Dialling(_) => None,
        }
    }

    /// Dials, and keeps the relay alive, until there is something to tell. May be dropped at any time.
    pub(crate) async fn progress(&mut self, dial: impl Fn(Target) -> Attempt, replay: &Replay) -> LinkEvent {
        loop {
            match &mut self.state {
                State::Waiting(until) => {
                    sleep_until(*until).await;
                    self.state = State::Dialling(dial(self.target));
                }
                State::Dialling(attempt) => match attempt.await {
                    Ok(publisher) => {
                        let (publisher, opened) = (Box::new(publisher), Instant::now());
                        self.state = State::Ready { publisher, since: replay.end(), opened };
                        return LinkEvent::Prepared;
                    }
                    Err(error) => return self.fail(error, None),
                },
                State::Ready { publisher, opened, .. } => {
                    let opened = *opened;
                    let error = publisher.lost().await;
                    return self.fail(error, Some(opened.elapsed()));
                }
            }
        }
    }

    fn fail(&mut self, error: RelayError, lived: Option<Duration>) -> LinkEvent {
        let next = after(&error, lived, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(Instant::now() + next.pause);
        LinkEvent::Failed { epoch: self.target.epoch, error, report: next.report }
    }
}
