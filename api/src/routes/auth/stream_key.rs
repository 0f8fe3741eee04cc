//! `GET /api/auth/stream-key`

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use caudal_livestream::admission::StreamKey;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Accounts;
use crate::auth::{AuthError, Caller};
use crate::client::Client;
use crate::error::Error;
use crate::limits::Target;

/// What to type into OBS.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyView {
    #[schema(value_type = String, pattern = "^live_[0-9A-Za-z]{32}$", example = "live_0123456789abcdefghijABCDEFGHIJkl")]
    pub(crate) stream_key: StreamKey,
    #[schema(format = "uri", example = "rtmp://live.example.org:1935/live")]
    pub(crate) rtmp_url: String,
    pub(crate) rotated_at: DateTime<Utc>,
}

impl IntoResponse for KeyView {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, "no-store")], axum::Json(self)).into_response()
    }
}

/// The caller's own key.
#[utoipa::path(
    get, path = "/api/auth/stream-key", security(("user" = [])),
    responses(
        (status = 200, body = KeyView),
        (status = 409, description = "stream_key_unreadable"),
    ),
)]
pub(crate) async fn stream_key(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    client: Client,
) -> Result<KeyView, Error> {
    client.limit_attempts(Target::Key(caller.user)).await?;
    let found = sqlx::query!(
        "select stream_key_enc, stream_key_kid, key_rotated_at from users where id = $1 and deleted_at is null",
        caller.user
    )
    .fetch_optional(&accounts.database)
    .await?
    .ok_or(AuthError::SessionRevoked)?;
    let stream_key = accounts.stream_keys.open(caller.user, &found.stream_key_enc, &found.stream_key_kid)?;
    // The studio asks when it opens: whether anybody looked at the key, only the page knows.
    tracing::info!(target: "caudal_api::audit", user = %caller.user, session = %caller.session, address = %client.address,
        "a stream key was sent to its owner's page or program");
    Ok(KeyView { stream_key, rtmp_url: accounts.urls.rtmp.clone(), rotated_at: found.key_rotated_at })
}
