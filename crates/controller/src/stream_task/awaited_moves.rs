//! Who waits for a move's end.

use caudal_livestream::Epoch;
use caudal_livestream::lifecycle::{LastMove, MoveEnd};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::moved::{MoveError, Moved};

/// One entry: a second move is refused while one runs.
#[derive(Default)]
pub(super) struct AwaitedMoves(Option<Awaited>);

struct Awaited {
    epoch: Epoch,
    since: Instant,
    reply: oneshot::Sender<Result<Moved, MoveError>>,
}

impl AwaitedMoves {
    /// `reply` learns what comes of the move to `epoch`.
    pub(super) fn wait(&mut self, epoch: Epoch, reply: oneshot::Sender<Result<Moved, MoveError>>) {
        self.0 = Some(Awaited { epoch, since: Instant::now(), reply });
    }

    /// Tells whoever waits, if the last move is the one that is waited for.
    pub(super) fn answer(&mut self, last: Option<LastMove>) {
        let Some(LastMove { epoch, end }) = last else { return };
        let Some(awaited) = self.0.take_if(|awaited| awaited.epoch == epoch) else { return };
        let answer = match end {
            MoveEnd::Moved { from, to, stepped_in } => {
                Ok(Moved { from, to, epoch, stepped_in, took: awaited.since.elapsed() })
            }
            MoveEnd::Failed { failure } => Err(failure.into()),
        };
        // Whoever asked may have gone away; the stream is where it is.
        let _ = awaited.reply.send(answer);
    }
}
