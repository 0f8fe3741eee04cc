//! `GET /api/streams/failed`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use caudal_livestream::StreamId;
use caudal_livestream::report::EndReason;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Streams;
use crate::auth::Caller;
use crate::error::Error;

/// A broadcast that ended against its streamer's will.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failed {
    #[schema(value_type = Uuid)]
    id: StreamId,
    ended_at: DateTime<Utc>,
    /// In words.
    reason: String,
}

/// The caller's last broadcast, if it failed: a list of one or none. An encoder that tries again by itself shows nobody
/// why it was turned away, and by then the stream is not open any more.
#[utoipa::path(
    get, path = "/api/streams/failed", security(("user" = [])),
    responses((status = 200, body = Vec<Failed>)),
)]
pub(crate) async fn failed(
    State(streams): State<Arc<Streams>>,
    caller: Caller,
) -> Result<Json<Vec<Failed>>, Error> {
    let last = sqlx::query!(
        r#"select id, ended_at as "ended_at!", ended_reason, ended_detail from streams
           where user_id = $1 and ended_at is not null and authorized_at is not null
           order by id desc limit 1"#,
        caller.user
    )
    .fetch_optional(&streams.database)
    .await?;
    let failed = last.and_then(|last| {
        let reason: EndReason = serde_json::from_value(last.ended_reason?.into()).ok()?;
        let words = reason.is_failure().then(|| reason.in_words(last.ended_detail.as_deref()))?;
        Some(Failed { id: StreamId(last.id), ended_at: last.ended_at, reason: words })
    });
    Ok(Json(failed.into_iter().collect()))
}
