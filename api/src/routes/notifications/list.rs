//! `GET /api/notifications`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;

use crate::app::Notifications;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::notifications::{self, Notification};
use crate::page::{Limit, MAX_CURSOR, Page};

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only those that were not read.
    #[serde(default)]
    #[garde(skip)]
    unread: bool,
    #[serde(default)]
    #[garde(dive)]
    limit: Limit,
    #[garde(length(bytes, max = MAX_CURSOR))]
    cursor: Option<String>,
}

/// What the caller was told, the latest first.
pub(crate) async fn list(
    State(parts): State<Arc<Notifications>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Notification>, Error> {
    let place = (wanted.limit, wanted.cursor.as_deref());
    notifications::list(&parts.database, caller.user, wanted.unread, &uri, place).await
}
