//! `POST /internal/ingest/done`: the broadcast is over.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use caudal_livestream::report::Done;
use sqlx::types::Json as Column;

use crate::app::Ingest;
use crate::database::instant;
use crate::error::Error;
use crate::json::Internal;
use crate::stream::Owner;

/// The last word on a stream: a second `done` changes nothing.
pub(crate) async fn done(
    State(ingest): State<Arc<Ingest>>,
    Internal(report): Internal<Done>,
) -> Result<StatusCode, Error> {
    let ended_at = instant(report.ended_at)?;
    let started_at = report.started_at.filter(|_| report.published).map(instant).transpose()?;
    let reason =
        serde_json::to_value(report.reason).ok().and_then(|reason| reason.as_str().map(str::to_owned));
    let detail: Option<String> = report.detail.map(|detail| detail.chars().take(MAX_DETAIL).collect());
    let mut tx = ingest.database.begin().await?;
    let Some(owner) = Owner::lock_of_stream(&mut tx, report.stream.0).await? else {
        // The controller must not report for ever.
        tracing::warn!(stream = %report.stream, "a stream that is unknown here is done");
        return Ok(StatusCode::NO_CONTENT);
    };
    let first = sqlx::query!(
        r#"update streams
           set is_live = false, viewer_count = 0, done_at = now(), ended_reason = $4, ended_detail = $6, hints = $5,
               started_at = coalesce(started_at, $2), ended_at = greatest($3, started_at, $2), revision = revision + 1
           where id = $1 and done_at is null"#,
        report.stream.0,
        started_at,
        ended_at,
        reason,
        report.hints.map(Column) as _,
        detail
    )
    .execute(&mut *tx)
    .await?;
    owner.set_streaming(&mut tx).await?;
    tx.commit().await?;
    if first.rows_affected() > 0 {
        tracing::info!(stream = %report.stream, reason, published = report.published, "ended");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The column is `varchar(400)`.
const MAX_DETAIL: usize = 400;
