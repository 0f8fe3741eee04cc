//! `POST /internal/ingest/published`: the first segment can be watched.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use caudal_livestream::report::Published;

use crate::app::Streams;
use crate::database::instant;
use crate::error::Error;
use crate::json::Internal;
use crate::stream::{End, Owner, order_end};

/// Makes the stream live. After `done`, and once its row was closed, it changes nothing.
pub(crate) async fn published(
    State(streams): State<Arc<Streams>>,
    Internal(report): Internal<Published>,
) -> Result<StatusCode, Error> {
    let started_at = instant(report.started_at)?;
    let mut tx = streams.database.begin().await?;
    let Some(owner) = Owner::lock_of_stream(&mut tx, report.stream.0).await? else {
        // The broadcast must not hang on that.
        tracing::warn!(stream = %report.stream, "a stream that is unknown here was published");
        return Ok(StatusCode::NO_CONTENT);
    };
    sqlx::query!(
        r#"update streams
           set is_live = true, started_at = coalesce(started_at, $2), authorized_at = coalesce(authorized_at, now()),
               revision = revision + 1
           where id = $1 and ended_at is null and not is_live"#,
        report.stream.0,
        started_at
    )
    .execute(&mut *tx)
    .await?;
    owner.set_streaming(&mut tx).await?;
    let unwanted = sqlx::query_scalar!(
        r#"select end_requested_reason as "reason!" from streams
           where id = $1 and end_requested_reason is not null and done_at is null"#,
        report.stream.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    // Created just when it was told to end: told again, now that it exists.
    if let Some(reason) = unwanted {
        order_end(&streams, report.stream.0, End::parse(&reason)).await?;
    }
    tracing::info!(stream = %report.stream, "live");
    Ok(StatusCode::NO_CONTENT)
}
