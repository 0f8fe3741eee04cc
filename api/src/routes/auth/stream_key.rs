//! `GET /api/auth/stream-key`

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use caudal_livestream::admission::StreamKey;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::app::Accounts;
use crate::auth::{AuthError, Caller};
use crate::client::Client;
use crate::error::Error;
use crate::limits::Target;

/// What to type into OBS.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyView {
    pub(crate) stream_key: StreamKey,
    pub(crate) rtmp_url: String,
    pub(crate) rotated_at: DateTime<Utc>,
}

impl IntoResponse for KeyView {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, "no-store")], axum::Json(self)).into_response()
    }
}

/// The caller's own key.
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
