//! The body of a request that is a picture.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use bytes::Bytes;
use caudal_storage::PictureKind;
use futures::StreamExt as _;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::PictureError;
use super::remake::remade;
use super::{KeptPicture, Pictures};
use crate::app::Entrance;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::input::InputError;
use crate::limits::{Bucket, Class};

/// A body that was not read yet: first it is known who sends it, and whether they may.
pub(crate) struct Upload {
    exchange: Exchange,
    content_type: Option<String>,
    body: Body,
}

/// A JPEG, PNG or WebP file of 5 MiB and 16 megapixels at most.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct PictureFile(Vec<u8>);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
        Ok(Self { exchange: Exchange::of(&parts)?, content_type, body })
    }
}

impl Pictures {
    /// Receives a picture of `subject` that `sender` uploads and writes it to storage, where nobody is shown it until
    /// [`KeptPicture::show`]. `owner` is whose it is.
    pub(crate) async fn keep(
        &self,
        entrance: &Entrance,
        sender: Uuid,
        upload: Upload,
        kind: PictureKind,
        subject: Uuid,
        owner: Option<Uuid>,
    ) -> Result<KeptPicture, Error> {
        let shelf = self.shelf()?;
        upload.exchange.count(entrance, Class::Uploads, &Bucket::uploads(sender)).await?;
        if !upload.content_type.as_deref().is_some_and(is_taken) {
            return Err(PictureError::UnknownFormat.into());
        }
        // Until the file is written: what was received is in memory so long.
        let _place = self.receiving.try_acquire().map_err(|_| PictureError::Busy)?;
        let file = received(upload.body).await?;
        let jpeg = self.remade(file, kind).await?;
        let kept = KeptPicture::begin(&self.database, kind, subject, owner).await?;
        shelf.put(kept.key(), jpeg.into()).await?;
        Ok(kept)
    }

    /// One after the other, on a thread that may be busy.
    async fn remade(&self, file: Bytes, kind: PictureKind) -> Result<Vec<u8>, Error> {
        let work = async {
            let turn = Arc::clone(&self.decoding).acquire_owned().await;
            let turn = turn.map_err(|_| PictureError::Busy)?;
            // Nothing stops a thread: whoever gives up waiting leaves it its turn until it has ended.
            let made = tokio::task::spawn_blocking(move || {
                let made = remade(&file, kind);
                drop(turn);
                made
            });
            // It panicked, which no file should make it do; it is the file's fault all the same.
            made.await.unwrap_or(Err(PictureError::Unreadable))
        };
        Ok(timeout(PATIENCE, work).await.unwrap_or(Err(PictureError::Busy))?)
    }
}

/// The sender's word is not believed; another word means another file was chosen.
fn is_taken(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    ["image/jpeg", "image/png", "image/webp"].iter().any(|taken| taken.eq_ignore_ascii_case(kind))
}

/// The whole body. One that is too long is read on and thrown away for a while: a browser hears of its refusal only once it
/// has sent everything.
async fn received(body: Body) -> Result<Bytes, Error> {
    let mut chunks = body.into_data_stream();
    let (mut file, mut length) = (Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| InputError::Malformed("the body was cut off".into()))?;
        length = length.saturating_add(chunk.len());
        if length <= MAX_UPLOAD {
            file.extend_from_slice(&chunk);
        } else {
            file = Vec::new();
            if length > MAX_THROWN_AWAY {
                break;
            }
        }
    }
    if length <= MAX_UPLOAD { Ok(file.into()) } else { Err(PictureError::TooLarge.into()) }
}

/// Bytes: a photograph of 12 megapixels as telephones save it.
pub(crate) const MAX_UPLOAD: usize = 5 * 1024 * 1024;
/// The largest files of telephones; beyond that the connection is cut.
const MAX_THROWN_AWAY: usize = 16 * 1024 * 1024;
/// For those before it and for itself; below the deadline of a request, most of which an upload may take.
const PATIENCE: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_has_to_say_that_it_is_a_picture() {
        for (content_type, taken) in [
            ("image/jpeg", true),
            ("IMAGE/PNG", true),
            ("image/webp; q=1", true),
            ("image/svg+xml", false),
            ("image/jpegs", false),
            ("text/html", false),
            ("", false),
        ] {
            assert_eq!(is_taken(content_type), taken, "{content_type}");
        }
    }
}
