//! Which key each worker's storage credentials are sealed to.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use caudal_livestream::credentials::SealingPublicKey;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{StreamId, WorkerId};

use crate::worker_link::{NotAssigned, WorkerLink};

/// The first key that each worker gave. A worker holds nothing that it could prove itself with, but it has one key for its whole life: a
/// later one is somebody else's, so nobody is asked again.
#[derive(Default)]
pub(crate) struct WorkerKeys {
    // Held for map operations only, never across an await.
    known: Mutex<HashMap<StreamId, HashMap<WorkerId, SealingPublicKey>>>,
}

impl WorkerKeys {
    /// The key of a worker of `stream`; none where it answers that it has none. That is not kept: a proxy in between may have said it.
    ///
    /// # Errors
    /// As [`WorkerLink::key`].
    pub(crate) async fn of(
        &self,
        link: &dyn WorkerLink,
        worker: &WorkerAddress,
        stream: StreamId,
    ) -> Result<Option<SealingPublicKey>, NotAssigned> {
        let known = self.known().get(&stream).and_then(|workers| workers.get(&worker.worker)).copied();
        if known.is_some() {
            return Ok(known);
        }
        let Some(key) = link.key(worker).await? else { return Ok(None) };
        // Where two have asked at the same time, the first answer counts for both.
        Ok(Some(*self.known().entry(stream).or_default().entry(worker.worker).or_insert(key)))
    }

    /// Nobody will ask for the keys of this stream's workers any more.
    pub(crate) fn forget(&self, stream: StreamId) {
        self.known().remove(&stream);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<StreamId, HashMap<WorkerId, SealingPublicKey>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
