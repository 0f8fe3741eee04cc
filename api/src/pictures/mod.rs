//! Pictures that people upload: avatars, thumbnails of streams, icons of categories.
//!
//! What is sent is decoded and made anew as a JPEG of a fixed shape, so nothing of the file survives but how it looks: neither
//! where a photograph was taken nor anything that only pretends to be a picture. Nothing is ever fetched from an address.
//!
//! * `shape` – how large each kind is, and what is cut off
//! * `remake` – bytes that a stranger sent into a JPEG, in bounded memory
//! * `upload` – a request's body, when there is room for it
//! * `kept` – the rows, and which picture is shown
//! * `shelf` – the files
//! * `leftovers` – files that nobody is shown any more

mod error;
mod kept;
mod leftovers;
mod remake;
mod shape;
mod shelf;
mod upload;

use std::sync::Arc;

use caudal_storage::SegmentStore;
use sqlx::PgPool;
use tokio::sync::Semaphore;

pub(crate) use caudal_storage::PictureKind;
pub(crate) use error::PictureError;
pub(crate) use kept::{KeptPicture, hide, hide_of_person, hide_of_the_past};
pub(crate) use leftovers::remove_unused;
use shelf::Shelf;
pub(crate) use upload::{PictureFile, Upload};

/// Everything about uploaded pictures.
pub(crate) struct Pictures {
    pub(crate) database: PgPool,
    shelf: Option<Shelf>,
    /// Bodies that are being received: each may hold 5 MiB.
    receiving: Semaphore,
    /// Pictures that are being decoded, which takes far more memory than their files.
    decoding: Arc<Semaphore>,
}

impl Pictures {
    /// Without a `store` there are no pictures.
    pub(crate) fn new(database: PgPool, store: Option<SegmentStore>) -> Self {
        Self {
            database,
            shelf: store.map(Shelf::new),
            receiving: Semaphore::new(RECEIVED_AT_ONCE),
            decoding: Arc::new(Semaphore::new(DECODED_AT_ONCE)),
        }
    }

    /// The files.
    pub(crate) fn shelf(&self) -> Result<&Shelf, PictureError> {
        self.shelf.as_ref().ok_or(PictureError::NoStorage)
    }
}

/// Of 5 MiB: 80 MiB.
const RECEIVED_AT_ONCE: usize = 16;
/// A picture takes up to 150 MB for half a second. Uploads are rare; the next one waits.
const DECODED_AT_ONCE: usize = 1;
