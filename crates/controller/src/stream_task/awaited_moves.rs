//! How the stream's moves end: what the log says of each, and who waits for it.

use std::time::Duration;

use caudal_livestream::lifecycle::{LastMove, Lifecycle, MoveEnd, MoveFailure};
use caudal_livestream::{Epoch, StreamId, UnixMillis};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::moved::{MoveError, Moved};

/// One entry: a second move is refused while one runs.
#[derive(Default)]
pub(super) struct AwaitedMoves(Option<Awaited>);

struct Awaited {
    epoch: Epoch,
    /// None for a move that a controller before this one has begun, if nobody has recorded when.
    since: Option<Instant>,
    /// None when its worker asked for it.
    reply: Option<oneshot::Sender<Result<Moved, MoveError>>>,
    /// Why the next worker did not take its assignment, if that is known.
    not_ready: Option<String>,
}

impl AwaitedMoves {
    /// With the move that was under way when the machine was stored, if one was.
    pub(super) fn of(machine: Option<&Lifecycle>, now: UnixMillis) -> Self {
        Self(machine.and_then(|machine| {
            let since = machine.moves_since().and_then(|begun| {
                let passed = u64::try_from(now.0.saturating_sub(begun.0)).ok()?;
                Instant::now().checked_sub(Duration::from_millis(passed))
            });
            Some(Awaited { epoch: machine.moves_to()?, since, reply: None, not_ready: None })
        }))
    }

    /// `reply` learns what comes of the move to `epoch`, which has just begun.
    pub(super) fn wait(&mut self, epoch: Epoch, reply: oneshot::Sender<Result<Moved, MoveError>>) {
        let begun = self.0.take().filter(|awaited| awaited.epoch == epoch);
        let begun = begun.unwrap_or_else(|| Awaited::since_now(epoch));
        self.0 = Some(Awaited { reply: Some(reply), ..begun });
    }

    /// To be called before the machine learns that the worker of `epoch` did not take its assignment.
    pub(super) fn not_ready(&mut self, epoch: Epoch, reason: String) {
        if let Some(awaited) = self.0.as_mut().filter(|awaited| awaited.epoch == epoch) {
            awaited.not_ready = Some(reason);
        }
    }

    /// To be called whenever the machine has changed: logs how the move ended that was under way, and notices the next one. Gives why
    /// that one failed if nobody waits to hear so.
    pub(super) fn note(&mut self, machine: &Lifecycle) -> Option<MoveError> {
        let mut failed = None;
        if let Some(last) = machine.last_move()
            && let Some(awaited) = self.0.take_if(|awaited| awaited.epoch == last.epoch)
        {
            let outcome = awaited.ended(machine.stream(), &last);
            failed = outcome
                .and_then(Result::err)
                .filter(|_| last.end != MoveEnd::Failed { failure: MoveFailure::Ended });
        }
        if let Some(epoch) = machine.moves_to()
            && self.0.as_ref().is_none_or(|awaited| awaited.epoch != epoch)
        {
            self.0 = Some(Awaited::since_now(epoch));
        }
        failed
    }
}

impl Awaited {
    fn since_now(epoch: Epoch) -> Self {
        Self { epoch, since: Some(Instant::now()), reply: None, not_ready: None }
    }

    /// Tells whoever waits; gives what came of the move if nobody does.
    fn ended(self, stream: StreamId, last: &LastMove) -> Option<Result<Moved, MoveError>> {
        let took = self.since.map(|since| since.elapsed());
        say(stream, last, took);
        let LastMove { from, epoch, end, .. } = *last;
        let answer = match end {
            MoveEnd::Moved { to, stepped_in, lost_ms } => {
                // Who waits has asked this controller, and that knows.
                Ok(Moved { from, to, epoch, stepped_in, lost_ms, took: took.unwrap_or_default() })
            }
            MoveEnd::Failed { failure } => Err(match self.not_ready {
                Some(reason) if failure == MoveFailure::NextWorkerNotReady => MoveError::NotReady(reason),
                _ => failure.into(),
            }),
        };
        match self.reply {
            // Whoever asked may have gone away; the stream is where it is.
            Some(reply) => reply.send(answer).err(),
            None => Some(answer),
        }
    }
}

fn say(stream: StreamId, last: &LastMove, took: Option<Duration>) {
    let LastMove { asked_by, from, from_epoch, epoch, end } = *last;
    let took_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    match end {
        MoveEnd::Moved { to, stepped_in: false, lost_ms } => {
            tracing::info!(%stream, %asked_by, %from, %to, %from_epoch, %epoch, took_ms, lost_ms, "moved stream");
        }
        MoveEnd::Moved { to, stepped_in: true, lost_ms } => {
            tracing::warn!(
                %stream, %asked_by, %from, %to, %from_epoch, %epoch, took_ms, lost_ms,
                "moved stream; the old worker ended before it had handed over, and the next one stepped in"
            );
        }
        MoveEnd::Failed { failure } if failure.has_left() => {
            tracing::warn!(
                %stream, %asked_by, %from, %from_epoch, %epoch, took_ms, reason = %failure,
                "stream left its worker, and its move failed"
            );
        }
        MoveEnd::Failed { failure: failure @ MoveFailure::Ended } => {
            // Before or behind the switch: where the stream was does not matter any more.
            tracing::info!(%stream, %asked_by, %from, %from_epoch, %epoch, took_ms, reason = %failure, "move given up");
        }
        MoveEnd::Failed { failure } => {
            tracing::warn!(%stream, %asked_by, %from, %from_epoch, %epoch, took_ms, reason = %failure, "stream not moved");
        }
    }
}

#[cfg(test)]
mod tests {
    use caudal_livestream::assignment::{AssignmentMode, Floor};
    use caudal_livestream::feed::InputState;
    use caudal_livestream::lifecycle::Input;
    use caudal_livestream::record::WorkerAddress;
    use caudal_livestream::{Generation, MediaTime, Msn, SessionId, WorkerId};

    use super::*;

    fn moving_since(now: UnixMillis) -> Lifecycle {
        let anywhere = "127.0.0.1:1".parse().unwrap();
        let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: anywhere, http: anywhere };
        let floor = Floor { msn: Msn(1), discontinuity: 0, media_end: MediaTime(12_000_000), epoch: None };
        let (session, generation) = (Some(SessionId::generate()), Generation(1));
        let up = InputState { session, generation, up: true, silent_ms: Some(0), ..InputState::default() };
        let mut machine = Lifecycle::new(StreamId::generate(), 30_000, generation, now);
        machine.handle(now, Input::WorkerClaimed(Epoch(1), worker));
        machine.handle(now, Input::AssignmentTaken(Epoch(1), AssignmentMode::Live));
        machine.handle(now, Input::Publisher(Epoch(1), up));
        machine.handle(now, Input::Announced(Epoch(1), floor));
        machine.handle(now, Input::Move);
        machine
    }

    #[tokio::test(start_paused = true)]
    async fn a_move_that_another_controller_has_begun_took_as_long_as_its_record_says_or_nobody_knows() {
        let begun = UnixMillis(1_790_000_000_000);
        let machine = moving_since(begun);
        let took = |machine: &Lifecycle, now: i64| {
            let awaited = AwaitedMoves::of(Some(machine), UnixMillis(now)).0.unwrap();
            assert_eq!(Some(awaited.epoch), machine.moves_to());
            awaited.since.map(|since| since.elapsed())
        };
        assert_eq!(took(&machine, begun.0 + 7_000), Some(Duration::from_secs(7)));
        assert_eq!(took(&machine, begun.0 - 1), None, "the clock was set back");
    }
}
