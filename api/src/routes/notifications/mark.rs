//! `PATCH /api/notifications/:id`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use garde::Validate;
use serde::Deserialize;
use uuid::Uuid;

use crate::app::Notifications;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Checked;
use crate::notifications::{self, Unread};

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    #[garde(skip)]
    read: bool,
}

/// Marks one of the caller's as read or not, and answers with how many are not.
pub(crate) async fn mark(
    State(parts): State<Arc<Notifications>>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    Checked(mark): Checked<Mark>,
) -> Result<Json<Unread>, Error> {
    let Path(id) = id.map_err(|_| Error::NotFound("this notification"))?;
    notifications::mark(&parts.database, caller.user, id, mark.read).await?;
    Ok(Json(Unread::of(&parts.database, caller.user).await?))
}
