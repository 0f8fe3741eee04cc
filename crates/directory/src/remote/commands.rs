//! Asking the controller for something, until it has answered.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::record::LiveStream;
use caudal_service::http_client::{BodyError, body_within};
use caudal_service::internal::{answered_by, refusal};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::wire::{Answer, Mark, Outcome};
use super::{CONTROLLER, Failure, LONGEST_LINE, Shared, answer, unavailable};
use crate::Unavailable;

impl Shared {
    /// Sends a command until it is answered, for at most [`COMMAND_DEADLINE`], and waits until the copy shows its effect. A
    /// try that is given up may still be carried out.
    pub(super) async fn command(&self, path: &str, command: &impl Serialize) -> Result<Outcome, Unavailable> {
        let Answer { mark, outcome } =
            self.until_answered(path, command).await.map_err(|failure| match failure {
                Failure::Transport(reason) | Failure::Refused(reason) | Failure::Signature(reason) => {
                    unavailable(&reason)
                }
            })?;
        self.shows(mark).await;
        if let Outcome::Record { record } | Outcome::Exists { record } = &outcome {
            self.adopt(&Arc::new(LiveStream::clone(record)), mark);
        }
        match outcome {
            Outcome::Unavailable { reason } => Err(Unavailable(reason)),
            outcome => Ok(outcome),
        }
    }

    /// An answer to a command, as soon as there is one within [`COMMAND_DEADLINE`].
    pub(super) async fn until_answered(
        &self,
        path: &str,
        command: &impl Serialize,
    ) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(command).map_err(|error| Failure::Refused(error.to_string()))?;
        let deadline = Instant::now() + COMMAND_DEADLINE;
        loop {
            let until = deadline.min(Instant::now() + TRY_DEADLINE);
            let failed = match timeout_at(until, self.ask(path, body.clone())).await {
                Ok(Err(failure @ Failure::Transport(_))) => failure,
                Ok(answered) => return answered,
                Err(_) => Failure::Transport("it does not answer".to_owned()),
            };
            if Instant::now() + REPEAT_PAUSE >= deadline {
                return Err(failed);
            }
            sleep(REPEAT_PAUSE).await;
        }
    }

    async fn ask(&self, path: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        let answer = answer(self.http.post(&self.controller, path, body)).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let whole = body_within(answer, LONGEST_LINE).await.map_err(|error| match error {
            BodyError::TooLong(_) => Failure::Refused(error.to_string()),
            BodyError::Broken(_) => Failure::Transport(error.to_string()),
        })?;
        serde_json::from_slice(&whole).map_err(|error| {
            Failure::Refused(if answered_by(CONTROLLER, &headers) {
                format!("its answer cannot be read: {error}")
            } else {
                // A web server answers anything with its pages.
                refusal(CONTROLLER, status, &headers)
            })
        })
    }

    /// Waits until the copy shows what was true at `mark`; not for long, because the connection may be lost just now.
    async fn shows(&self, mark: Mark) {
        let mut standing = self.standing.subscribe();
        let caught_up = standing.wait_for(|now| now.mark.is_none_or(|now| now.shows(mark)));
        if timeout(CATCH_UP, caught_up).await.is_err() {
            tracing::debug!(controller = self.controller, "the copy of its directory is late");
        }
    }

    fn adopt(&self, record: &Arc<LiveStream>, answered: Mark) {
        let mut replica = self.replica();
        replica.adopt(record, answered);
        self.show(replica.streams());
    }
}

/// Shorter than an encoder's patience (10 s), and longer than the restart of a controller takes.
pub(super) const COMMAND_DEADLINE: Duration = Duration::from_secs(6);
/// A controller that was killed, or whose machine was lost, answers nothing on the old connection and may be back on another.
const TRY_DEADLINE: Duration = Duration::from_secs(2);
const REPEAT_PAUSE: Duration = Duration::from_millis(200);
/// A copy is behind by milliseconds.
const CATCH_UP: Duration = Duration::from_secs(2);
