//! Making an epoch this worker's own.

use std::time::Duration;

use caudal_livestream::assignment::{Assignment, Floor};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{Ownership, StoredState};
use caudal_storage::{ClaimError, SegmentStore, StorageError};
use thiserror::Error;
use tokio::time::timeout;

use crate::clock::WallClock;
use crate::salvage::{Before, Known};

/// Why an epoch is not this worker's.
#[derive(Debug, Error)]
pub(crate) enum Unclaimed {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("epoch {0} of the stream is claimed already")]
    Behind(u32),
    #[error("storage did not answer within {CLAIM_DEADLINE:?}")]
    Deadline,
}

impl From<StorageError> for Unclaimed {
    fn from(error: StorageError) -> Self {
        Self::Claim(error.into())
    }
}

/// Makes the assignment's epoch ours, and only then reads what came before it. `floor` is the controller's last word.
pub(crate) async fn claim(
    store: &SegmentStore,
    address: WorkerAddress,
    assignment: &Assignment,
    owner: Ownership,
    floor: Option<Floor>,
) -> Result<Option<Before>, Unclaimed> {
    let claim = claim_in_its_time(store, address, assignment, owner, floor);
    timeout(CLAIM_DEADLINE, claim).await.map_err(|_| Unclaimed::Deadline)?
}

async fn claim_in_its_time(
    store: &SegmentStore,
    address: WorkerAddress,
    assignment: &Assignment,
    owner: Ownership,
    floor: Option<Floor>,
) -> Result<Option<Before>, Unclaimed> {
    let (stream, epoch) = (assignment.stream, assignment.epoch);
    let claim = StoredState { stream, epoch, worker: address, owner: Some(owner), filled: None };
    store.claim(&claim).await?;
    let claims = store.claims(stream).await?;
    if let Some(fence) = claims.fence.filter(|fence| *fence > epoch) {
        return Err(Unclaimed::Behind(fence.0));
    }
    let filled = claims.filled.and_then(|state| state.filled);
    if claims.unreadable.is_empty() {
        return Ok(filled.map(|filled| Before { filled, floor, known: Known::Whole }));
    }
    for error in &claims.unreadable {
        tracing::warn!(%error, "an earlier epoch's state is damaged; the broadcast goes on with what is known besides");
    }
    let stored = store.highest_msn(stream).await?;
    let now = WallClock::start().now();
    Ok(Before::behind_damage((stream, epoch), filled, floor, stored, now))
}

/// The controller gives up on an assignment after five seconds.
pub(crate) const CLAIM_DEADLINE: Duration = Duration::from_millis(4500);
