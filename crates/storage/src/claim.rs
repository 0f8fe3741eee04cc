//! Who may write a stream: the worker that created the highest `state-{epoch}.json`.

use std::error::Error;
use std::io;

use bytes::Bytes;
use caudal_livestream::state::StoredState;
use caudal_livestream::{Epoch, StreamId};
use thiserror::Error as ThisError;

use crate::key::{Key, StreamFile};
use crate::store::{CreateError, SegmentStore, StorageError};

/// What is known of a stream's epochs.
#[derive(Debug)]
pub struct StreamClaims {
    /// The highest epoch that anybody claimed: the fence.
    pub fence: Option<Epoch>,
    /// The state of the highest epoch that announced something, of those that can be read: where the timeline goes on.
    pub filled: Option<StoredState>,
    /// The lowest epoch above `filled` that was claimed and whose state was never filled. It may have announced more than
    /// `filled` knows of, and even stored some of that.
    pub unfilled: Option<Epoch>,
    /// Epochs above `filled` whose states cannot be read, highest first, and why not. They may have announced more
    /// than `filled` knows of.
    pub unreadable: Vec<StorageError>,
}

/// Why an epoch could not be claimed.
#[derive(Debug, ThisError)]
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
        let body = Bytes::from(claim.write()?);
        match self.create(&key, body).await {
            Ok(_) => Ok(()),
            Err(CreateError::AlreadyExists) => match self.state(claim.stream, claim.epoch).await {
                Ok(Some(found)) if found.worker.worker == claim.worker.worker => Ok(()),
                Err(error) if !is_damage(&error) => Err(error.into()),
                // Another worker's claim, or one too damaged to tell whose: this epoch is taken, and the next can be claimed.
                Ok(_) | Err(_) => Err(ClaimError::Taken(claim.epoch)),
            },
            Err(CreateError::Storage(error)) => Err(error.into()),
        }
    }

    /// Writes as much as a state and a second's segments take, and removes it again: whether a worker of this stream could store
    /// anything now. A slow storage may keep it, until the next probe or the stream's removal.
    ///
    /// # Errors
    /// [`StorageError`] when it could not.
    pub async fn prove_writable(&self, stream: StreamId) -> Result<(), StorageError> {
        let key = Key::Live(stream, StreamFile::Probe);
        let written = self.put(&key, vec![0; PROBE].into()).await;
        // Also after a write that failed late. That something stays is no reason against this worker.
        let _ = self.delete(&key).await;
        written.map(drop)
    }

    /// One epoch's state; `None` when it was never claimed.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be read; [`StorageError::Unreadable`] when it is not that epoch's state.
    pub async fn state(&self, stream: StreamId, epoch: Epoch) -> Result<Option<StoredState>, StorageError> {
        let key = Key::Live(stream, StreamFile::State(epoch));
        let Some(body) = self.get(&key).await? else { return Ok(None) };
        StoredState::read(stream, epoch, &body)
            .map(Some)
            .map_err(|source| StorageError::Unreadable { key, source })
    }

    /// The stream's fence and its newest timeline. An epoch whose state is damaged is claimed, and announced nothing
    /// that anybody could take up.
    ///
    /// # Errors
    /// [`StorageError`] when they cannot be read.
    pub async fn claims(&self, stream: StreamId) -> Result<StreamClaims, StorageError> {
        let mut epochs = self.epochs(stream).await?;
        epochs.sort_unstable();
        let fence = epochs.last().copied();
        let (mut unfilled, mut unreadable) = (None, Vec::new());
        for epoch in epochs.into_iter().rev() {
            match self.state(stream, epoch).await {
                Ok(Some(state)) if state.filled.is_some() => {
                    return Ok(StreamClaims { fence, filled: Some(state), unfilled, unreadable });
                }
                Ok(_) => unfilled = Some(epoch),
                Err(error) if is_damage(&error) => unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(StreamClaims { fence, filled: None, unfilled, unreadable })
    }
}

/// Whether this object is broken for good, where an outage of the storage may pass.
fn is_damage(error: &StorageError) -> bool {
    match error {
        StorageError::Unreadable { .. } | StorageError::TooLong { .. } => true,
        StorageError::Failed { source, .. } => {
            let mut cause: Option<&(dyn Error + 'static)> = Some(source);
            while let Some(error) = cause {
                if error.downcast_ref().is_some_and(is_bad_sector) {
                    return true;
                }
                cause = error.source();
            }
            false
        }
        StorageError::Deadline { .. } => false,
    }
}

/// `EIO`, which std has no name for.
fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(5)
}

const PROBE: usize = 1024 * 1024;
