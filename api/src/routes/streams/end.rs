//! `DELETE /api/streams/:id`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::administration::{Act, Actor, record};
use crate::app::{Accounts, Streams};
use crate::auth::Caller;
use crate::client::Client;
use crate::error::Error;
use crate::stream::{
    End, Owner, StreamError, StreamPath, StreamView, close_unused, order_end, request_end, select_streams,
};

/// Ends a stream and never erases it, for its owner or an admin: `202` while the lifecycle is at it, `204` when nothing is left to do.
pub(crate) async fn end(
    State(streams): State<Arc<Streams>>,
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    StreamPath(stream): StreamPath,
    client: Client,
) -> Result<Response, Error> {
    let owner = sqlx::query_scalar!("select user_id from streams where id = $1", stream);
    let owner = owner.fetch_optional(&streams.database).await?.ok_or(StreamError::Unknown)?;
    let end = if owner == caller.user {
        End::ByOwner
    } else if caller.is_admin(&accounts).await? {
        End::ByAdmin
    } else {
        return Err(StreamError::NotYours.into());
    };
    let mut tx = streams.database.begin().await?;
    let owner = Owner::lock_even_deleted(&mut tx, owner).await?.ok_or(StreamError::Unknown)?;
    let row = sqlx::query!(
        r#"select ended_at is not null as "ended!", authorized_at is not null as "admitted!",
                  coalesce(end_requested_reason = $2, false) as "asked!"
           from streams where id = $1"#,
        stream,
        end.as_str()
    )
    .fetch_one(&mut *tx)
    .await?;
    if row.ended {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if end == End::ByAdmin && !row.asked {
        let act = Act::StreamEnded { stream, owner: owner.user };
        record(&mut tx, Actor::admin(caller, &client), act).await?;
    }
    if !row.admitted {
        // Prepared, and no publisher came: there is nobody to tell.
        close_unused(&mut tx, owner, stream, end).await?;
        tx.commit().await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    request_end(&mut tx, owner, stream, end).await?;
    // Encoders reconnect by themselves: for a moment the key must not bring back what was just ended.
    sqlx::query!(
        "update users set key_held_until = now() + make_interval(secs => $2) where id = $1",
        owner.user,
        streams.key_hold.as_secs_f64()
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    tracing::info!(%stream, by = end.as_str(), "is to end");
    order_end(&streams, stream, end).await?;
    let row = select_streams!("where s.id = $1", stream).fetch_one(&streams.database).await?;
    Ok((StatusCode::ACCEPTED, StreamView::new(&streams, row)).into_response())
}
