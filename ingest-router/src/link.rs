//! A session's link to its stream's worker: dials, relays, and dials again when it breaks.

use std::future::pending;
use std::time::Duration;

use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::{Status, WorkerAddress};
use caudal_livestream::{Epoch, Generation, SessionId, StreamId};
use caudal_rtmp::{Refusal, RelayClient, RelayError, RelayPublisher, RelayTarget};
use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::metrics::{Metrics, add};
use crate::relay::Relay;
use crate::replay::{Beginning, Replay};

/// The link of one session. It has no buffer: a relay reads from the session's [`Replay`].
pub(crate) struct Link {
    stream: StreamId,
    session: SessionId,
    generation: Generation,
    input_key: RoleKey,
    metrics: Metrics,
    target: Option<Target>,
    beginning: Beginning,
    state: State,
    /// Since a relay last lived for [`SETTLED`].
    failures: u32,
    dropped: u64,
}

/// A worker's assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    address: WorkerAddress,
    epoch: Epoch,
}

enum State {
    /// No worker.
    Idle,
    /// Before another attempt.
    Waiting(Instant),
    Dialling(BoxFuture<'static, Result<RelayPublisher<TcpStream>, RelayError>>),
    Up(Box<Relay>),
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// The worker takes the session.
    Connected,
    /// Everything that there was has been sent.
    Sent,
    /// The relay broke, or could not be made; it is tried again.
    Failed {
        epoch: Epoch,
        error: RelayError,
        /// The controller should hear of it.
        report: bool,
    },
}

impl Link {
    pub(crate) fn new(
        stream: StreamId,
        session: SessionId,
        generation: Generation,
        input_key: RoleKey,
        metrics: Metrics,
    ) -> Self {
        Self {
            stream,
            session,
            generation,
            input_key,
            metrics,
            target: None,
            beginning: Beginning::Replay,
            state: State::Idle,
            failures: 0,
            dropped: 0,
        }
    }

    /// Goes to the worker that the directory names, if it is another one.
    pub(crate) fn follow(&mut self, status: &Status) {
        self.beginning = if status.without_replay { Beginning::NextKeyframe } else { Beginning::Replay };
        let target = status.worker.map(|address| Target { address, epoch: status.epoch });
        if target != self.target {
            self.target = target;
            self.failures = 0;
            self.dial();
        }
    }

    /// Moves what is in `replay` to the worker, until there is something to tell. May be dropped at any time.
    pub(crate) async fn progress(&mut self, replay: &Replay) -> LinkEvent {
        loop {
            match &mut self.state {
                State::Idle => pending().await,
                State::Waiting(until) => {
                    sleep_until(*until).await;
                    self.dial();
                }
                State::Dialling(attempt) => {
                    let publisher = match attempt.await {
                        Ok(publisher) => publisher,
                        Err(error) => return self.fail(error, None),
                    };
                    if self.beginning == Beginning::Replay {
                        self.metrics.replays.inc();
                    }
                    self.state = State::Up(Box::new(Relay::new(publisher, replay.cursor(self.beginning))));
                    return LinkEvent::Connected;
                }
                State::Up(relay) => match relay.progress(replay).await {
                    Ok(()) => {
                        self.dropped = self.dropped.saturating_add(relay.take_dropped());
                        add(&self.metrics.relayed_bytes, relay.take_sent());
                        return LinkEvent::Sent;
                    }
                    Err(error) => {
                        let lived = relay.age();
                        return self.fail(error, Some(lived));
                    }
                },
            }
        }
    }

    /// To be called about once a second: a relay that takes nothing for too long has failed.
    pub(crate) fn check(&mut self, replay: &Replay) -> Option<LinkEvent> {
        let State::Up(relay) = &mut self.state else { return None };
        self.metrics.relay_lag.observe(relay.lag(replay).as_secs_f64());
        self.dropped = self.dropped.saturating_add(relay.take_dropped());
        if !relay.is_stalled() {
            return None;
        }
        // It did not break by itself, so that dialling at once would only find the same worker.
        Some(self.fail(RelayError::Silent, Some(Duration::ZERO)))
    }

    /// Whether nothing is left to be sent to a worker that takes it.
    pub(crate) fn is_drained(&mut self, replay: &Replay) -> bool {
        match &mut self.state {
            State::Up(relay) => relay.is_drained(replay),
            State::Idle | State::Waiting(_) | State::Dialling(_) => false,
        }
    }

    /// Frames that were not relayed since the last call, because the worker was too slow.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Ends the relay: with the publisher's good-bye, if it said one.
    pub(crate) async fn finish(self, explicit: bool) {
        if let (State::Up(relay), true) = (self.state, explicit) {
            relay.unpublish().await;
        }
    }

    fn dial(&mut self) {
        let Some(target) = self.target else {
            self.state = State::Idle;
            return;
        };
        let (stream, session, generation) = (self.stream, self.session, self.generation);
        let (epoch, rtmp) = (target.epoch, target.address.rtmp);
        let proof = self.input_key.proof(stream, epoch);
        let publish = RelayTarget {
            app: RELAY_APP.to_owned(),
            stream_name: format!(
                "{stream}?epoch={epoch}&session={session}&generation={generation}&auth={}",
                proof.reveal()
            ),
            tc_url: format!("rtmp://{rtmp}/{RELAY_APP}"),
        };
        self.state = State::Dialling(Box::pin(RelayClient::connect_tcp(
            rtmp,
            publish,
            Instant::now() + DIAL_DEADLINE,
        )));
    }

    fn fail(&mut self, error: RelayError, lived: Option<Duration>) -> LinkEvent {
        if lived.is_some_and(|lived| lived >= SETTLED) {
            self.failures = 0;
        }
        let next = after(&error, lived, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.metrics.relay_failures.inc();
        self.state = State::Waiting(Instant::now() + next.pause);
        let epoch = self.target.map(|target| target.epoch).unwrap_or_default();
        LinkEvent::Failed { epoch, error, report: next.report }
    }
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Next {
    /// Before the next attempt, at whatever worker the directory names by then.
    pause: Duration,
    report: bool,
}

/// `lived`: for how long the relay was up, if it was; `failures`: in a row before this one.
fn after(error: &RelayError, lived: Option<Duration>, failures: u32) -> Next {
    let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(MAX_DOUBLINGS));
    match error {
        // Fenced off: the worker knows of a newer publisher or a newer worker than this router does.
        RelayError::Refused { refusal: Some(Refusal::BadName), .. } => Next { pause, report: false },
        RelayError::Refused { .. } => Next { pause, report: true },
        // Perhaps it was only the connection.
        _ if lived.is_some_and(|lived| lived >= SETTLED) => Next { pause: Duration::ZERO, report: false },
        _ => Next { pause, report: true },
    }
}

/// The RTMP application under which workers take relays.
const RELAY_APP: &str = "relay";
/// A worker is on this machine or in the next rack; meanwhile the replay grows older.
const DIAL_DEADLINE: Duration = Duration::from_secs(2);
/// A relay that lived so long was taken by a worker that works.
const SETTLED: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// 1.6 s: a worker that restarts is found again soon enough.
const MAX_DOUBLINGS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_judged_by_what_it_shows_of_the_worker() {
        let refused = |refusal: Option<Refusal>| RelayError::Refused {
            refusal,
            code: String::new(),
            description: String::new(),
        };
        let ms = Duration::from_millis;
        for (case, error, lived, failures, pause, report) in [
            ("a connection that broke", RelayError::Closed, Some(ms(5000)), 0, ms(0), false),
            ("one that broke at once", RelayError::Closed, Some(ms(10)), 0, ms(100), true),
            ("nobody listens", RelayError::Io(std::io::ErrorKind::ConnectionRefused), None, 0, ms(100), true),
            ("still nobody", RelayError::Timeout, None, 2, ms(400), true),
            ("for a long time", RelayError::Timeout, None, 60, ms(1600), true),
            ("fenced off", refused(Some(Refusal::BadName)), None, 0, ms(100), false),
            (
                "fenced off while it was up",
                refused(Some(Refusal::BadName)),
                Some(ms(5000)),
                0,
                ms(100),
                false,
            ),
            ("a worker that does not want to", refused(None), None, 0, ms(100), true),
        ] {
            assert_eq!(after(&error, lived, failures), Next { pause, report }, "{case}");
        }
    }
}
