//! `GET /api/notifications/preferences` and `PUT /api/notifications/preferences`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Notifications;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Checked;
use crate::notifications::Preferences;

/// What the caller wants to be told.
pub(crate) async fn preferences(
    State(parts): State<Arc<Notifications>>,
    caller: Caller,
) -> Result<Json<Preferences>, Error> {
    Ok(Json(Preferences::of(&parts.database, caller.user).await?))
}

/// Says that anew, all of it.
pub(crate) async fn set_preferences(
    State(parts): State<Arc<Notifications>>,
    caller: Caller,
    Checked(preferences): Checked<Preferences>,
) -> Result<Json<Preferences>, Error> {
    preferences.set(&parts.database, caller.user).await?;
    Ok(Json(preferences))
}
