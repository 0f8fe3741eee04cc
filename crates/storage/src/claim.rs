//! Who may write a stream: the worker that created the highest `state-{epoch}.json`.

use bytes::Bytes;
use caudal_livestream::state::StoredState;
use caudal_livestream::{Epoch, StreamId};
use thiserror::Error;

use crate::key::{Key, StreamFile};
use crate::store::{CreateError, SegmentStore, StorageError};

/// What is known of a stream's epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamClaims {
    /// The highest epoch that anybody claimed: the fence.
    pub fence: Option<Epoch>,
    /// The state of the highest epoch that announced something: where the timeline goes on.
    pub filled: Option<StoredState>,
}

/// Why an epoch could not be claimed.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// Somebody else has it.
    #[error("epoch {0} of the stream is claimed already")]
    Taken(Epoch),
    /// The storage did not answer as it should.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The claim cannot be written as JSON.
    #[error("the claim cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl SegmentStore {
    /// Claims `claim.epoch` by creating its state file, before anything of the stream is read.
    ///
    /// # Errors
    /// [`ClaimError::Taken`] when another worker was first. A claim whose answer was lost is recognised by its worker
    /// and counts as made.
    pub async fn claim(&self, claim: &StoredState) -> Result<(), ClaimError> {
        let key = Key::Live(claim.stream, StreamFile::State(claim.epoch));
        let body = Bytes::from(serde_json::to_vec(claim)?);
        match self.create(&key, body).await {
            Ok(_) => Ok(()),
            Err(CreateError::AlreadyExists) => match self.state(claim.stream, claim.epoch).await? {
                Some(found) if found.worker.worker == claim.worker.worker => Ok(()),
                _ => Err(ClaimError::Taken(claim.epoch)),
            },
            Err(CreateError::Storage(error)) => Err(error.into()),
        }
    }

    /// One epoch's state; `None` when it was never claimed.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be read, or is not a state.
    pub async fn state(&self, stream: StreamId, epoch: Epoch) -> Result<Option<StoredState>, StorageError> {
        let key = Key::Live(stream, StreamFile::State(epoch));
        let Some(body) = self.get(&key).await? else { return Ok(None) };
        serde_json::from_slice(&body).map(Some).map_err(|source| StorageError::Json { key, source })
    }

    /// The stream's fence and its newest timeline.
    ///
    /// # Errors
    /// [`StorageError`] when they cannot be read.
    pub async fn claims(&self, stream: StreamId) -> Result<StreamClaims, StorageError> {
        let mut epochs = self.epochs(stream).await?;
        epochs.sort_unstable();
        let fence = epochs.last().copied();
        for epoch in epochs.into_iter().rev() {
            if let Some(state) = self.state(stream, epoch).await?
                && state.filled.is_some()
            {
                return Ok(StreamClaims { fence, filled: Some(state) });
            }
        }
        Ok(StreamClaims { fence, filled: None })
    }
}
