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
    reason_code: Failure,
    /// What is known beyond the code, in words: as in `video came, but no keyframe`.
    detail: Option<String>,
}

/// Why.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Failure {
    /// No picture came in time.
    StartTimeout,
    /// What was sent cannot be played.
    NothingPlayable,
    /// There was no worker for it.
    NoCapacity,
    /// Its workers kept failing.
    WorkersLost,
}

impl Failure {
    /// None of what the streamer wanted.
    fn of(reason: EndReason) -> Option<Self> {
        Some(match reason {
            EndReason::StartTimeout => Self::StartTimeout,
            EndReason::NothingPlayable => Self::NothingPlayable,
            EndReason::NoCapacity => Self::NoCapacity,
            EndReason::WorkersLost => Self::WorkersLost,
            _ => return None,
        })
    }
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
        Some(Failed {
            id: StreamId(last.id),
            ended_at: last.ended_at,
            reason_code: Failure::of(reason)?,
            reason: reason.in_words(last.ended_detail.as_deref()),
            detail: last.ended_detail,
        })
    });
    Ok(Json(failed.into_iter().collect()))
}
