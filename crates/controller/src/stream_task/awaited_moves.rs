//! How the stream's moves end: what the log says of each, and who waits for it.

use std::time::Duration;

use caudal_livestream::lifecycle::{LastMove, Lifecycle, MoveEnd};
use caudal_livestream::{Epoch, StreamId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::moved::{MoveError, Moved};

/// One entry: a second move is refused while one runs.
#[derive(Default)]
pub(super) struct AwaitedMoves(Option<Awaited>);

struct Awaited {
    epoch: Epoch,
    since: Instant,
    /// None when its worker asked for it.
    reply: Option<oneshot::Sender<Result<Moved, MoveError>>>,
}

impl AwaitedMoves {
    /// With the move that was under way when the machine was stored, if one was.
    pub(super) fn of(machine: Option<&Lifecycle>) -> Self {
        Self(machine.and_then(Lifecycle::moves_to).map(Awaited::since_now))
    }

    /// `reply` learns what comes of the move to `epoch`, which has just begun.
    pub(super) fn wait(&mut self, epoch: Epoch, reply: oneshot::Sender<Result<Moved, MoveError>>) {
        let begun = self.0.take().filter(|awaited| awaited.epoch == epoch);
        let begun = begun.unwrap_or_else(|| Awaited::since_now(epoch));
        self.0 = Some(Awaited { reply: Some(reply), ..begun });
    }

    /// To be called whenever the machine has changed: says how the move ended that was under way, and notices the next one.
    pub(super) fn look(&mut self, machine: &Lifecycle) {
        if let Some(last) = machine.last_move()
            && let Some(awaited) = self.0.take_if(|awaited| awaited.epoch == last.epoch)
        {
            awaited.ended(machine.stream(), &last);
        }
        if let Some(epoch) = machine.moves_to()
            && self.0.as_ref().is_none_or(|awaited| awaited.epoch != epoch)
        {
            self.0 = Some(Awaited::since_now(epoch));
        }
    }
}

impl Awaited {
    fn since_now(epoch: Epoch) -> Self {
        Self { epoch, since: Instant::now(), reply: None }
    }

    fn ended(self, stream: StreamId, last: &LastMove) {
        let took = self.since.elapsed();
        say(stream, last, took);
        let LastMove { from, epoch, end, .. } = *last;
        let answer = match end {
            MoveEnd::Moved { to, stepped_in } => Ok(Moved { from, to, epoch, stepped_in, took }),
            MoveEnd::Failed { failure } => Err(failure.into()),
        };
        if let Some(reply) = self.reply {
            // Whoever asked may have gone away; the stream is where it is.
            let _ = reply.send(answer);
        }
    }
}

fn say(stream: StreamId, last: &LastMove, took: Duration) {
    let LastMove { asked_by, from, from_epoch, epoch, end } = *last;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match end {
        MoveEnd::Moved { to, stepped_in } => {
            tracing::info!(%stream, %asked_by, %from, %to, %from_epoch, %epoch, took_ms, stepped_in, "moved stream");
        }
        MoveEnd::Failed { failure } => {
            tracing::warn!(%stream, %asked_by, %from, %from_epoch, %epoch, took_ms, reason = %failure, "stream not moved");
        }
    }
}
