//! `GET /api/notifications/unread`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Notifications;
use crate::auth::Caller;
use crate::error::Error;
use crate::notifications::Unread;

/// How many the caller has not read.
pub(crate) async fn unread(
    State(parts): State<Arc<Notifications>>,
    caller: Caller,
) -> Result<Json<Unread>, Error> {
    Ok(Json(Unread::of(&parts.database, caller.user).await?))
}
