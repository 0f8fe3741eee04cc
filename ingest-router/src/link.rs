//! A session's link to its stream's worker: dials, relays, and dials again when it breaks.
//!
//! A planned move (ARCHITECTURE §3.9) has two relays for a moment: the next worker's is opened ahead, and from the next
//! keyframe on it is the one.

use std::future::pending;
use std::time::Duration;

use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::{Status, WorkerAddress};
use caudal_livestream::{Epoch, Generation, SessionId, StreamId};
use caudal_rtmp::{Refusal, RelayClient, RelayError, RelayPublisher, RelayTarget};
use caudal_traces::Traces;
use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::metrics::{Metrics, add};
use crate::next_worker::NextWorker;
use crate::relay::Relay;
use crate::replay::{Beginning, Cursor, Replay, Switch};

/// The link of one session. It has no buffer: a relay reads from the session's [`Replay`].
pub(crate) struct Link {
    stream: StreamId,
    session: SessionId,
    generation: Generation,
    input_key: RoleKey,
    metrics: Metrics,
    traces: Traces,
    target: Option<Target>,
    beginning: Beginning,
    state: State,
    /// Since a relay last lived for [`SETTLED`].
    failures: u32,
    dropped: u64,
    /// The worker of a planned move.
    next: Option<NextWorker>,
    leaving: Leaving,
    /// The publisher may send more.
    holds: bool,
}

/// A worker's assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: WorkerAddress,
    pub(crate) epoch: Epoch,
}

pub(crate) type Attempt = BoxFuture<'static, Result<RelayPublisher<TcpStream>, RelayError>>;

enum State {
    /// No worker.
    Idle,
    /// Before another attempt.
    Waiting(Instant),
    Dialling(Attempt),
    /// The worker takes the session.
    Taken(Box<RelayPublisher<TcpStream>>),
    Up(Box<Relay>),
}

/// The relay to the worker that the stream was moved from.
enum Leaving {
    No,
    /// What lies before the switch is on its way, until then at most.
    Finishing(Box<Relay>, Switch, Instant),
    /// It is told that the publisher goes on elsewhere.
    Farewell(BoxFuture<'static, ()>),
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// The worker takes the session.
    Connected,
    /// Everything that there was has been sent.
    Sent,
    /// The next worker is ready to be switched to.
    Prepared,
    /// From a keyframe on, the worker of this epoch gets the session.
    Switched(Epoch),
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
        traces: Traces,
    ) -> Self {
        Self {
            stream,
            session,
            generation,
            input_key,
            metrics,
            traces,
            target: None,
            beginning: Beginning::Replay,
            state: State::Idle,
            failures: 0,
            dropped: 0,
            next: None,
            leaving: Leaving::No,
            holds: true,
        }
    }

    /// Goes to the worker that the directory names, if it is another one.
    pub(crate) fn follow(&mut self, status: &Status) {
        self.beginning = if status.without_replay { Beginning::NextKeyframe } else { Beginning::Replay };
        let target = status.worker.map(|address| Target { address, epoch: status.epoch });
        // The controller hears a moment later of what this link has switched to. Until then the record goes on naming that as
        // the next worker; if it does not, the move was given up at the same moment.
        let is_older = self.target.is_some_and(|known| {
            status.epoch < known.epoch && status.next.is_some_and(|next| next.epoch == known.epoch)
        });
        if target != self.target && !is_older {
            self.target = target;
            self.failures = 0;
            match self.next.take().filter(|next| Some(next.target()) == target) {
                Some(next) => self.step_in(next),
                None => self.dial(),
            }
        }
        let next = status.next.map(|next| Target { address: next.address, epoch: next.epoch });
        let next = next.filter(|next| self.target.is_some_and(|target| target.epoch < next.epoch));
        if next != self.next.as_ref().map(NextWorker::target) {
            self.next = next.map(NextWorker::new);
        }
    }

    /// The old worker is gone before the switch, and the next one has its place.
    fn step_in(&mut self, next: NextWorker) {
        match next.into_publisher() {
            Some(publisher) => self.state = State::Taken(publisher),
            None => self.dial(),
        }
    }

    /// Moves what is in `replay` to the worker, until there is something to tell. May be dropped at any time.
    pub(crate) async fn progress(&mut self, replay: &Replay) -> LinkEvent {
        if let Some(event) = self.switch(replay) {
            return event;
        }
        let ends = RelayEnds { stream: self.stream, session: self.session, generation: self.generation };
        let dialled = |target: Target| ends.dial(&self.input_key, target);
        tokio::select! {
            step = self.state.progress(replay) => self.take(step, replay),
            event = next_progress(self.next.as_mut(), dialled, replay) => event,
            () = self.leaving.progress(replay) => LinkEvent::Sent,
        }
    }

    fn take(&mut self, step: Step, replay: &Replay) -> LinkEvent {
        match step {
            Step::DialAgain => self.dial(),
            Step::Taken(publisher) => {
                if self.beginning == Beginning::Replay {
                    self.metrics.replays.inc();
                }
                let epoch = self.target.map(|target| target.epoch).unwrap_or_default();
                let cursor = replay.cursor(self.beginning);
                self.state =
                    State::Up(Box::new(self.relay(epoch, self.beginning.in_words(), *publisher, cursor)));
                return LinkEvent::Connected;
            }
            Step::Sent => {
                if let State::Up(relay) = &mut self.state {
                    self.dropped = self.dropped.saturating_add(relay.take_dropped());
                    add(&self.metrics.relayed_bytes, relay.take_sent());
                }
            }
            Step::Failed(error, lived) => return self.fail(error, lived),
        }
        LinkEvent::Sent
    }

    /// Goes over to the next worker, if that is ready and a keyframe has come since. A worker that lags gets the chance of
    /// the next keyframe: what it has yet to take would be missing for as long.
    fn switch(&mut self, replay: &Replay) -> Option<LinkEvent> {
        let next = self.next.as_mut()?;
        let switch = replay.switch(next.ready_since()?)?;
        let State::Up(relay) = &self.state else { return None };
        if relay.lag(replay) > MAX_SWITCH_LAG || !matches!(self.leaving, Leaving::No) {
            next.wait_for_another(replay.end());
            return None;
        }
        let cursor = replay.cursor_behind(switch)?;
        let next = self.next.take()?;
        let target = next.target();
        let publisher = next.into_publisher()?;
        let relay = Box::new(self.relay(target.epoch, "switch", *publisher, cursor));
        if let State::Up(old) = std::mem::replace(&mut self.state, State::Up(relay)) {
            self.leaving = Leaving::Finishing(old, switch, Instant::now() + SOUND_DEADLINE);
        }
        self.target = Some(target);
        self.failures = 0;
        Some(LinkEvent::Switched(target.epoch))
    }

    fn relay(
        &self,
        epoch: Epoch,
        begins_with: &str,
        publisher: RelayPublisher<TcpStream>,
        cursor: Cursor,
    ) -> Relay {
        let mut span = self.traces.begin(self.stream, "relay");
        span.note("caudal.epoch", epoch);
        span.note("caudal.begins_with", begins_with);
        Relay::new(publisher, cursor, self.holds, self.metrics.clone(), span)
    }

    /// The publisher has left: what is there is sent, whatever the worker awaits.
    pub(crate) fn hold_nothing(&mut self) {
        self.holds = false;
        if let State::Up(relay) = &mut self.state {
            relay.hold_nothing();
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
            State::Idle | State::Waiting(_) | State::Dialling(_) | State::Taken(_) => false,
        }
    }

    /// Frames that were not relayed since the last call, because the worker was too slow.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Ends the relay: with the publisher's good-bye, if it said one.
    pub(crate) async fn finish(self, explicit: bool) {
        match self.leaving {
            Leaving::No => {}
            Leaving::Finishing(relay, ..) => relay.hand_over().await,
            Leaving::Farewell(farewell) => farewell.await,
        }
        if let (State::Up(relay), true) = (self.state, explicit) {
            relay.unpublish().await;
        }
    }

    fn dial(&mut self) {
        let Some(target) = self.target else {
            self.state = State::Idle;
            return;
        };
        let ends = RelayEnds { stream: self.stream, session: self.session, generation: self.generation };
        self.state = State::Dialling(ends.dial(&self.input_key, target));
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

/// What became of a link's state.
enum Step {
    DialAgain,
    Taken(Box<RelayPublisher<TcpStream>>),
    Sent,
    /// For how long the relay was up, if it was.
    Failed(RelayError, Option<Duration>),
}

impl State {
    /// May be dropped at any time.
    async fn progress(&mut self, replay: &Replay) -> Step {
        match self {
            Self::Idle => pending().await,
            Self::Waiting(until) => {
                sleep_until(*until).await;
                Step::DialAgain
            }
            Self::Dialling(attempt) => match attempt.await {
                Ok(publisher) => Step::Taken(Box::new(publisher)),
                Err(error) => Step::Failed(error, None),
            },
            Self::Taken(_) => match std::mem::replace(self, Self::Idle) {
                Self::Taken(publisher) => Step::Taken(publisher),
                _ => pending().await,
            },
            Self::Up(relay) => match relay.progress(replay).await {
                Ok(()) => Step::Sent,
                Err(error) => Step::Failed(error, Some(relay.age())),
            },
        }
    }
}

impl Leaving {
    /// Until something more was sent. May be dropped at any time.
    async fn progress(&mut self, replay: &Replay) {
        match self {
            Self::No => pending().await,
            Self::Finishing(relay, switch, by) => {
                let complete = tokio::select! {
                    outcome = relay.finish_before(replay, *switch) => outcome,
                    () = sleep_until(*by) => Ok(true),
                };
                match complete {
                    Ok(false) => {}
                    Ok(true) => {
                        if let Self::Finishing(relay, ..) = std::mem::replace(self, Self::No) {
                            *self = Self::Farewell(Box::pin(relay.hand_over()));
                        }
                    }
                    // It is gone; its successor has the stream.
                    Err(error) => {
                        tracing::debug!(%error, "the relay that was handed over from broke");
                        *self = Self::No;
                    }
                }
            }
            Self::Farewell(farewell) => {
                farewell.await;
                *self = Self::No;
            }
        }
    }
}

async fn next_progress(
    next: Option<&mut NextWorker>,
    dial: impl Fn(Target) -> Attempt,
    replay: &Replay,
) -> LinkEvent {
    match next {
        Some(next) => next.progress(dial, replay).await,
        None => pending().await,
    }
}

/// Who publishes what.
struct RelayEnds {
    stream: StreamId,
    session: SessionId,
    generation: Generation,
}

impl RelayEnds {
    fn dial(&self, input_key: &RoleKey, target: Target) -> Attempt {
        let Self { stream, session, generation } = self;
        let (epoch, rtmp) = (target.epoch, target.address.rtmp);
        let proof = input_key.proof(*stream, epoch);
        let publish = RelayTarget {
            app: RELAY_APP.to_owned(),
            stream_name: format!(
                "{stream}?epoch={epoch}&session={session}&generation={generation}&auth={}",
                proof.reveal()
            ),
            tc_url: format!("rtmp://{rtmp}/{RELAY_APP}"),
        };
        Box::pin(RelayClient::connect_tcp(rtmp, publish, Instant::now() + DIAL_DEADLINE))
    }
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Before the next attempt, at whatever worker the directory names by then.
    pub(crate) pause: Duration,
    pub(crate) report: bool,
}

/// `lived`: for how long the relay was up, if it was; `failures`: in a row before this one.
pub(crate) fn after(error: &RelayError, lived: Option<Duration>, failures: u32) -> Next {
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

/// A worker that has so much yet to take is not the one to be switched from: the next one would wait as long.
const MAX_SWITCH_LAG: Duration = Duration::from_millis(500);
/// For sound that lies before the switch and comes behind its keyframe. The next worker waits for what is made of it.
const SOUND_DEADLINE: Duration = Duration::from_millis(300);
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
