//! Getting a stream its worker: the claim, and the assignment.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::lifecycle::Input;
use caudal_livestream::proof::SignedAssignment;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, StreamId, UnixMillis};
use caudal_storage::StreamCredentials;
use tokio::time::{Instant, sleep};

use super::ASK_AGAIN;
use super::credentials::{sealed, when_there_are_some};
use super::missing_worker::Reasons;
use crate::Shared;
use crate::backoff::Backoff;
use crate::queue::Sender;
use crate::worker_link::NotAssigned;
use crate::workers::{ClaimError, Claimed, Presence};

/// A worker for this epoch, as soon as there is one and it can be assigned. Says what it waits for.
pub(super) async fn claim(
    shared: Arc<Shared>,
    stream: StreamId,
    epoch: Epoch,
    inputs: Sender<Input>,
) -> Claimed {
    let claimed = claim_one(&shared, stream, epoch, &inputs);
    // At the same time, so that the assignment finds them there.
    let (claimed, _) = tokio::join!(claimed, when_there_are_some(&shared, stream, epoch, &inputs));
    claimed
}

async fn claim_one(shared: &Shared, stream: StreamId, epoch: Epoch, inputs: &Sender<Input>) -> Claimed {
    let carriers = &shared.carriers;
    let mut reasons = Reasons::default();
    // Publisher or viewers wait, so the pause does not grow; only chance keeps many from asking at once.
    let mut backoff = Backoff::new(ASK_AGAIN, ASK_AGAIN);
    loop {
        let error = match carriers.workers.claim(stream, epoch, &carriers.pool).await {
            Ok(claimed) => return claimed,
            Err(error) => error,
        };
        // Nobody listens only when the worker is not wanted any more either.
        if reasons.is_news(error.reason(), Instant::now()) {
            tracing::warn!(%error, %stream, %epoch, "a stream gets no worker now; asking again each second");
            let _ = inputs.send(Input::NoWorker(epoch, error.reason().to_owned())).await;
        } else {
            tracing::debug!(%error, %stream, %epoch, "still no worker");
        }
        let room = match error {
            ClaimError::NoCapacity(_) => Some(Input::NoCapacity(epoch)),
            ClaimError::Coming(_) => Some(Input::WorkerComing(epoch)),
            ClaimError::Unavailable(_) => None,
        };
        if let Some(room) = room {
            let _ = inputs.send(room).await;
        }
        backoff.wait().await;
    }
}

/// Sends a worker its assignment; the error says why it did not take it.
pub(super) async fn assign(
    shared: &Shared,
    worker: WorkerAddress,
    assignment: Option<Assignment>,
    inputs: &Sender<Input>,
) -> Result<(), NotAssigned> {
    let carriers = &shared.carriers;
    let Some(mut assignment) = assignment else { return Err(unsettled("nobody created the stream")) };
    let exited = async {
        match carriers.workers.exited(worker.worker).await {
            Presence::Gone => {}
            Presence::Unknown => std::future::pending().await,
        }
    };
    tokio::pin!(exited);
    let answered = tokio::select! {
        answered = credentials_or_answer(shared, &worker, &mut assignment, inputs) => answered,
        () = &mut exited => return Err(NotAssigned::Gone),
    };
    let credentials = match answered {
        ControlFlow::Continue(credentials) => credentials,
        ControlFlow::Break(answer) => return answer,
    };
    let begun = Instant::now();
    let mut tries = 0_u32;
    loop {
        let outcome = tokio::select! {
            outcome = offer(shared, &worker, &mut assignment, credentials.as_ref()) => outcome,
            () = &mut exited => return Err(NotAssigned::Gone),
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(NotAssigned::Unsettled(_))
                if tries < ASSIGN_RETRIES && begun.elapsed() < ASSIGN_AGAIN_WITHIN =>
            {
                tries = tries.saturating_add(1);
                sleep(ASSIGN_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Credentials for a worker as soon as there are some, or its answer, if that comes first.
///
/// One that has the stream already, which after a change of controller only itself knows, takes orders without. One that has not says so,
/// and nothing is settled by that.
async fn credentials_or_answer(
    shared: &Shared,
    worker: &WorkerAddress,
    assignment: &mut Assignment,
    inputs: &Sender<Input>,
) -> ControlFlow<Result<(), NotAssigned>, Option<StreamCredentials>> {
    let credentials = when_there_are_some(shared, assignment.stream, assignment.epoch, inputs);
    if assignment.mode == AssignmentMode::Prepare {
        return ControlFlow::Continue(credentials.await);
    }
    let answer = async {
        loop {
            match offer(shared, worker, assignment, None).await {
                Err(NotAssigned::Unsettled(_)) => sleep(ASK_AGAIN).await,
                answer => return answer,
            }
        }
    };
    tokio::select! {
        // Where they are at hand, nobody is asked without.
        biased;
        credentials = credentials => ControlFlow::Continue(credentials),
        answer = answer => ControlFlow::Break(answer),
    }
}

/// Once.
async fn offer(
    shared: &Shared,
    worker: &WorkerAddress,
    assignment: &mut Assignment,
    credentials: Option<&StreamCredentials>,
) -> Result<(), NotAssigned> {
    // Worker and controller both go by the machine's clock. It may be set between two tries.
    assignment.expires = UnixMillis(shared.wall_now().0.saturating_add(ASSIGNMENT_VALID_MS));
    if let Some(credentials) = credentials {
        assignment.credentials = sealed(shared, worker, assignment.recipient(), credentials).await?;
    }
    let signed = SignedAssignment::sign(assignment, shared.carriers.assignments.current())
        .map_err(|error| unsettled(&error.to_string()))?;
    shared.carriers.link.assign(worker, &signed).await
}

fn unsettled(reason: &str) -> NotAssigned {
    NotAssigned::Unsettled(reason.to_owned())
}

/// From the choice of a worker to its taking the assignment, over a change of controller and clocks that differ. A worker and an epoch
/// are assigned once, so that what was recorded is of no use to others.
const ASSIGNMENT_VALID_MS: i64 = 15 * 60_000;
const ASSIGN_RETRIES: u32 = 2;
/// One that is silent, which each try waits for, has to be given up while the router's replay still holds what viewers lack.
const ASSIGN_AGAIN_WITHIN: Duration = Duration::from_secs(6);
const ASSIGN_PAUSE: Duration = Duration::from_millis(200);
