//! Why a picture was not taken, or is not shown.

use thiserror::Error;

use super::remake::{MAX_MEGAPIXELS, MAX_SIDE};
use super::upload::MAX_UPLOAD;
use crate::error::RETRY_SECONDS;

/// Why a request about a picture did not get what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PictureError {
    /// By its first bytes, or by the sender's own word.
    #[error("a picture must be a JPEG, PNG or WebP file")]
    UnknownFormat,
    /// It begins like a picture and does not go on like one.
    #[error("the picture is damaged or incomplete")]
    Unreadable,
    /// More pixels than are decoded.
    #[error(
        "the picture has too many pixels: {MAX_MEGAPIXELS} megapixels and {MAX_SIDE} a side are the most"
    )]
    TooManyPixels,
    /// A longer file.
    #[error("the file is too large: {} MiB are the most", MAX_UPLOAD / 1024 / 1024)]
    TooLarge,
    /// The operator gave the api no storage.
    #[error("this server keeps no pictures")]
    NoStorage,
    /// As many as there is memory for.
    #[error("too many pictures are on their way just now; try again in {RETRY_SECONDS} s")]
    Busy,
    /// It failed or did not answer.
    #[error("the storage of pictures cannot be reached just now; try again in {RETRY_SECONDS} s")]
    StorageAway,
}
