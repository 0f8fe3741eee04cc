//! Making an epoch this worker's own.

use std::time::Duration;

use caudal_livestream::assignment::{Assignment, Floor};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{Ownership, StoredState};
use caudal_storage::{ClaimError, SegmentStore, StorageError};
use thiserror::Error;
use tokio::time::{Instant, timeout};

use crate::clock::WallClock;
use crate::outage::Outage;
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

impl Unclaimed {
    /// Whether the epoch may be had yet, once storage works.
    fn may_pass(&self) -> bool {
        match self {
            Self::Claim(ClaimError::Storage(_)) | Self::Deadline => true,
            Self::Claim(_) | Self::Behind(_) => false,
        }
    }
}

impl From<StorageError> for Unclaimed {
    fn from(error: StorageError) -> Self {
        Self::Claim(error.into())
    }
}

/// A worker's claim of its assignment's epoch.
pub(crate) struct EpochClaim<'a> {
    pub(crate) store: &'a SegmentStore,
    pub(crate) address: WorkerAddress,
    pub(crate) assignment: &'a Assignment,
    pub(crate) owner: Ownership,
    /// The controller's last word.
    pub(crate) floor: Option<Floor>,
}

impl EpochClaim<'_> {
    /// Makes the epoch ours, and only then reads what came before it.
    pub(crate) async fn make(&self) -> Result<Option<Before>, Unclaimed> {
        timeout(CLAIM_DEADLINE, self.make_however_long_it_takes()).await.map_err(|_| Unclaimed::Deadline)?
    }

    /// The same for a worker that was ready, has the stream and is heard meanwhile: while storage fails, nobody else could
    /// claim an epoch either.
    pub(crate) async fn make_patiently(&self) -> Result<Option<Before>, Unclaimed> {
        let give_up = Instant::now() + CLAIM_PATIENCE;
        let mut trouble = Outage::default().watch();
        loop {
            match self.make().await {
                Err(error) if error.may_pass() && Instant::now() < give_up => trouble.wait(&error).await,
                claimed => {
                    if claimed.is_ok() {
                        trouble.over();
                    }
                    return claimed;
                }
            }
        }
    }

    async fn make_however_long_it_takes(&self) -> Result<Option<Before>, Unclaimed> {
        let Self { store, address, assignment, owner, floor } = *self;
        let (stream, epoch) = (assignment.stream, assignment.epoch);
        let claim = StoredState { stream, epoch, worker: address, owner: Some(owner), filled: None };
        store.claim(&claim).await?;
        let claims = store.claims(stream).await?;
        if let Some(fence) = claims.fence.filter(|fence| *fence > epoch) {
            return Err(Unclaimed::Behind(fence.0));
        }
        let filled = claims.filled.and_then(|state| state.filled);
        let unfilled = claims.unfilled.is_some_and(|claimed| claimed < epoch);
        if claims.unreadable.is_empty() {
            match filled {
                Some(filled) => {
                    let known = if unfilled { Known::UpToState } else { Known::Whole };
                    return Ok(Some(Before { filled, floor, known }));
                }
                None if !unfilled && floor.is_none() => return Ok(None),
                // A worker was lost before it wrote its first state.
                None => {}
            }
        }
        for error in &claims.unreadable {
            tracing::warn!(%error, "an earlier epoch's state is damaged; the broadcast goes on with what is known besides");
        }
        let stored = store.highest_msn(stream).await?;
        let now = WallClock::start().now();
        Ok(Before::behind_damage((stream, epoch), filled, floor, stored, now))
    }
}

/// The controller gives up on an assignment after five seconds.
pub(crate) const CLAIM_DEADLINE: Duration = Duration::from_millis(4500);
/// For a storage that hangs; then another worker is tried, because it may be this machine that cannot reach it. Of the
/// minute in which the controller has to find one, half is left.
const CLAIM_PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use caudal_livestream::state::FilledState;
    use caudal_livestream::timeline::{SegmentPhase, Timeline};
    use caudal_livestream::{Epoch, InstallationId, MediaTime, Msn, StreamId, WorkerId};
    use caudal_media::Beyond;
    use caudal_storage::{Key, StreamFile};

    use super::*;
    use crate::fixtures::{assignment, segment, timeline};

    #[tokio::test]
    async fn a_claim_goes_on_behind_the_floor_also_where_states_were_never_filled() {
        let floor = Floor { msn: Msn(20), discontinuity: 0, media_end: MediaTime(52_000_000), epoch: None };
        let of = |epoch| Some(Floor { epoch: Some(Epoch(epoch)), ..floor });
        let (same, unknown) = (Some(Beyond::SameEpoch), Some(Beyond::Unknown));
        for (states, floor, beyond) in [
            (vec![(1, true)], None, same),
            (vec![(1, true)], of(1), same),
            (vec![(1, true), (2, true)], None, same),
            (vec![(1, true), (2, false)], None, unknown),
            (vec![(1, true), (2, false)], Some(floor), unknown),
            // Epoch 2 was claimed, and announced nothing.
            (vec![(1, true), (2, false)], of(1), same),
            (vec![(1, true), (2, false)], of(2), unknown),
            (vec![(1, false), (2, true)], None, same),
            (vec![], None, None),
            (vec![(1, false)], None, None),
            (vec![(1, false)], Some(floor), unknown),
            (vec![(1, false)], of(1), unknown),
            (vec![], Some(floor), unknown),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = SegmentStore::folder(folder.path()).unwrap();
            let stream = StreamId::generate();
            let address = WorkerAddress {
                worker: WorkerId::generate(),
                rtmp: ([127, 0, 0, 1], 1).into(),
                http: ([127, 0, 0, 1], 2).into(),
            };
            for (epoch, filled) in &states {
                let epoch = Epoch(*epoch);
                let timeline = timeline(stream, vec![segment(7, SegmentPhase::Stored)]);
                let timeline = Timeline { epoch, ..timeline };
                let filled = filled.then_some(FilledState { timeline, clock: None, closed: false });
                let state = StoredState { stream, epoch, worker: address, owner: None, filled };
                let key = Key::Live(stream, StreamFile::State(epoch));
                store.put(&key, state.write().unwrap().into()).await.unwrap();
            }
            let owner =
                Ownership { installation: InstallationId::try_from("0a".repeat(16)).unwrap(), record: false };
            let assignment = assignment(address.worker, stream, Epoch(3));
            let claim = EpochClaim { store: &store, address, assignment: &assignment, owner, floor };
            let before = claim.make().await.unwrap();
            assert_eq!(before.as_ref().map(Before::beyond), beyond, "{states:?} {floor:?}");
            assert_eq!(before.and_then(|before| before.floor), floor, "{states:?}");
        }
    }
}
