//! `PUT /api/streams/:id/thumbnail` and `DELETE /api/streams/:id/thumbnail`

use std::sync::Arc;

use axum::extract::State;

use crate::app::{Entrance, Streams};
use crate::auth::AuthError;
use crate::error::Error;
use crate::pictures::{self, PictureFile, PictureKind, Pictures, Upload};
use crate::stream::{OwnedStream, Owner, StreamError, StreamPath, StreamView, select_streams};

/// Shows a stream by a picture, of which the middle is kept: 16:9, 1280 pixels wide at most. It takes the place of the one that is made
/// of the video, until 30 days after the end.
#[utoipa::path(
    put, path = "/api/streams/{id}/thumbnail", security(("owner" = [])),
    params(StreamPath),
    request_body(content(
        (PictureFile = "image/jpeg"),
        (PictureFile = "image/png"),
        (PictureFile = "image/webp"),
    )),
    responses(
        (status = 200, body = StreamView, headers(("ETag"))),
        (status = 404, description = "not_found"),
        (status = 409, description = "ended, no_storage"),
        (status = 422, description = "picture_unreadable, too_many_pixels"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn set_thumbnail(
    State(entrance): State<Arc<Entrance>>,
    State(streams): State<Arc<Streams>>,
    State(pictures): State<Arc<Pictures>>,
    OwnedStream(stream): OwnedStream,
    upload: Upload,
) -> Result<StreamView, Error> {
    if stream.ended_at.is_some() {
        return Err(StreamError::Ended.into());
    }
    let owner = stream.user_id;
    let kept =
        pictures.keep(&entrance, owner, upload, PictureKind::Thumbnail, stream.id, Some(owner)).await?;
    let mut tx = streams.database.begin().await?;
    // With the account, whose deletion takes all its pictures away.
    Owner::lock(&mut tx, owner).await?.ok_or(AuthError::SessionRevoked)?;
    let changed = sqlx::query!(
        r#"update streams set thumbnail_url = $2, revision = revision + 1
           where id = $1 and ended_at is null"#,
        stream.id,
        kept.address()
    );
    if changed.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(StreamError::Ended.into());
    }
    kept.show(&mut tx).await?;
    let row = select_streams!("where s.id = $1", stream.id).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(StreamView::new(&streams, row))
}

/// Takes the picture away that was uploaded; the one that is made of the video is shown again.
#[utoipa::path(
    delete, path = "/api/streams/{id}/thumbnail", security(("owner" = [])),
    params(StreamPath),
    responses(
        (status = 200, body = StreamView, headers(("ETag"))),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn remove_thumbnail(
    State(streams): State<Arc<Streams>>,
    OwnedStream(stream): OwnedStream,
) -> Result<StreamView, Error> {
    let mut tx = streams.database.begin().await?;
    sqlx::query!(
        r#"update streams set thumbnail_url = null, revision = revision + 1
           where id = $1 and thumbnail_url is not null"#,
        stream.id
    )
    .execute(&mut *tx)
    .await?;
    pictures::hide(&mut *tx, PictureKind::Thumbnail, stream.id).await?;
    let row = select_streams!("where s.id = $1", stream.id).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(StreamView::new(&streams, row))
}
