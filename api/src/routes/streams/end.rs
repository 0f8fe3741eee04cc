//! `DELETE /api/streams/:id`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::app::Streams;
use crate::auth::AuthError;
use crate::error::Error;
use crate::stream::{
    End, OwnedStream, Owner, StreamPath, StreamView, close_unused, order_end, request_end, select_streams,
};

/// Ends a stream and never erases it: `202` while the lifecycle is at it, `204` when nothing is left to do.
#[utoipa::path(
    delete, path = "/api/streams/{id}", security(("owner" = [])),
    params(StreamPath),
    responses(
        (status = 202, body = StreamView, headers(("ETag")), description = "The lifecycle is at it"),
        (status = 204, description = "Nothing is left to do"),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn end(
    State(streams): State<Arc<Streams>>,
    OwnedStream(stream): OwnedStream,
) -> Result<Response, Error> {
    let mut tx = streams.database.begin().await?;
    let owner = Owner::lock(&mut tx, stream.user_id).await?.ok_or(AuthError::SessionRevoked)?;
    let row = sqlx::query!(
        r#"select ended_at is not null as "ended!", authorized_at is not null as "admitted!" from streams
           where id = $1"#,
        stream.id
    )
    .fetch_one(&mut *tx)
    .await?;
    if row.ended {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if !row.admitted {
        // Prepared, and no publisher came: there is nobody to tell.
        close_unused(&mut tx, owner, stream.id, End::ByOwner).await?;
        tx.commit().await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    request_end(&mut tx, owner, stream.id, End::ByOwner).await?;
    // Encoders reconnect by themselves: for a moment the key must not bring back what its owner just ended.
    sqlx::query!(
        "update users set key_held_until = now() + make_interval(secs => $2) where id = $1",
        stream.user_id,
        streams.key_hold.as_secs_f64()
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    tracing::info!(stream = %stream.id, "ended by its owner");
    order_end(&streams, stream.id, End::ByOwner).await?;
    let row = select_streams!("where s.id = $1", stream.id).fetch_one(&streams.database).await?;
    Ok((StatusCode::ACCEPTED, StreamView::new(&streams, row)).into_response())
}
