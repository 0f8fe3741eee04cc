//! `PATCH /api/notifications`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
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
pub(crate) struct Marks {
    #[garde(custom(only_read))]
    read: bool,
    /// The latest that the caller has seen; all without it.
    #[garde(skip)]
    until: Option<Uuid>,
}

fn only_read(read: &bool, (): &()) -> garde::Result {
    if *read { Ok(()) } else { Err(garde::Error::new("all together can be marked as read only")) }
}

/// Marks what the caller has seen, and answers with how many are left.
pub(crate) async fn mark_all(
    State(parts): State<Arc<Notifications>>,
    caller: Caller,
    Checked(marks): Checked<Marks>,
) -> Result<Json<Unread>, Error> {
    notifications::mark_all(&parts.database, caller.user, marks.until).await?;
    Ok(Json(Unread::of(&parts.database, caller.user).await?))
}
