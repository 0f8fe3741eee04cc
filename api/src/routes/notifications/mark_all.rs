//! `PATCH /api/notifications`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Notifications;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Checked;
use crate::notifications::{self, Unread};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationMarks)]
pub(crate) struct Marks {
    /// True: all together can be marked as read only.
    #[garde(custom(only_read))]
    read: bool,
    /// The latest that the caller has seen; all without it.
    #[garde(skip)]
    until: Option<Uuid>,
}

fn only_read(read: &bool, (): &()) -> garde::Result {
    if *read { Ok(()) } else { Err(garde::Error::new("all together can be marked as read only")) }
}

/// Marks the notifications that the caller has seen, and answers with how many are left.
#[utoipa::path(
    patch, path = "/api/notifications", security(("user" = [])),
    request_body = Marks,
    responses((status = 200, body = Unread)),
)]
pub(crate) async fn mark_all(
    State(parts): State<Arc<Notifications>>,
    caller: Caller,
    Checked(marks): Checked<Marks>,
) -> Result<Json<Unread>, Error> {
    notifications::mark_all(&parts.database, caller.user, marks.until).await?;
    Ok(Json(Unread::of(&parts.database, caller.user).await?))
}
