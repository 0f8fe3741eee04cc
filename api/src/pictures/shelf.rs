//! The files of pictures. How long storage may take is decided here, and how much is asked of it at once.

use std::time::Duration;

use bytes::Bytes;
use caudal_storage::{Key, SegmentStore};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::PictureError;

/// Storage, as far as it holds pictures.
pub(crate) struct Shelf {
    store: SegmentStore,
    /// Files that are being read.
    reading: Semaphore,
}

impl Shelf {
    pub(super) fn new(store: SegmentStore) -> Self {
        Self { store, reading: Semaphore::new(READ_AT_ONCE) }
    }

    /// A file, if it is there.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Bytes>, PictureError> {
        let work = async {
            let _place = self.reading.acquire().await.map_err(|_| PictureError::Busy)?;
            self.store.get(key).await.map_err(|error| away("read", &error))
        };
        timeout(PATIENCE, work).await.map_err(|_| PictureError::Busy)?
    }

    pub(super) async fn put(&self, key: &Key, file: Bytes) -> Result<(), PictureError> {
        match timeout(PATIENCE, self.store.put(key, file)).await {
            Ok(written) => written.map(drop).map_err(|error| away("written", &error)),
            Err(late) => Err(away("written", &late)),
        }
    }

    /// Whether it is gone now.
    pub(super) async fn remove(&self, key: &Key) -> Result<(), PictureError> {
        self.store.delete(key).await.map_err(|error| away("removed", &error))
    }
}

fn away(what: &str, error: &dyn std::fmt::Display) -> PictureError {
    tracing::warn!(%error, "a picture could not be {what}");
    PictureError::StorageAway
}

/// Of 400 kB at most. Browsers and caches keep them for a year, so there is little to read.
const READ_AT_ONCE: usize = 32;
/// Of a reader and of an upload, whose request ends after 15 s.
const PATIENCE: Duration = Duration::from_secs(6);
