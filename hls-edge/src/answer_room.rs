//! What the answers about broadcasts that are over may hold together. There is no end of their files, and whoever asks may take its
//! time to read.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Refusal;

/// One for an edge.
#[derive(Debug)]
pub(crate) struct AnswerRoom {
    kibibytes: Arc<Semaphore>,
    /// Of them, when all are free.
    total: u32,
    /// Taken before it is known how long a file is.
    reserve: u32,
}

/// What one file takes of the room, until this is dropped.
#[derive(Debug)]
pub(crate) struct Share(OwnedSemaphorePermit);

impl AnswerRoom {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = kibibytes(bytes).max(1);
        let permits = usize::try_from(total).unwrap_or(Semaphore::MAX_PERMITS);
        let reserve = (total / 4).clamp(1, USUAL_SEGMENT);
        Self { kibibytes: Arc::new(Semaphore::new(permits)), total, reserve }
    }

    /// Room for a file of usual size.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when there is none.
    pub(crate) fn reserve(&self) -> Result<Share, Refusal> {
        self.take(self.reserve).map(Share)
    }

    /// Makes what was `reserved` as large as the file. One that is larger than the whole room gets all of it, when nobody else has any.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when there is not enough.
    pub(crate) fn fit(&self, Share(mut reserved): Share, bytes: usize) -> Result<Share, Refusal> {
        let needed = kibibytes(bytes).min(self.total);
        if let Some(more) = needed.checked_sub(self.reserve) {
            reserved.merge(self.take(more)?);
        } else {
            let spare = self.reserve.saturating_sub(needed);
            drop(reserved.split(usize::try_from(spare).unwrap_or(0)));
        }
        Ok(Share(reserved))
    }

    fn take(&self, kibibytes: u32) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.kibibytes).try_acquire_many_owned(kibibytes).map_err(|_| Refusal::Busy)
    }
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// KiB: 4 s of 8 Mb/s.
const USUAL_SEGMENT: u32 = 4096;
