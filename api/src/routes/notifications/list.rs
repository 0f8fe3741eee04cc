//! `GET /api/notifications`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::Notifications;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::notifications::{self, Notification};
use crate::page::{Limit, MAX_CURSOR, Page};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only those that were not read.
    #[serde(default)]
    #[garde(skip)]
    #[param(default = false)]
    unread: bool,
    /// Rows of a page.
    #[serde(default)]
    #[garde(dive)]
    #[param(inline)]
    limit: Limit,
    /// Where the page begins: as the last one's `Link` has it.
    #[garde(length(bytes, max = MAX_CURSOR))]
    #[param(max_length = 256)]
    cursor: Option<String>,
}

/// What the caller was told, the latest first.
#[utoipa::path(
    get, path = "/api/notifications", security(("user" = [])),
    params(Wanted),
    responses((status = 200, body = Vec<Notification>)),
)]
pub(crate) async fn list(
    State(parts): State<Arc<Notifications>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Notification>, Error> {
    let place = (wanted.limit, wanted.cursor.as_deref());
    notifications::list(&parts.database, caller.user, wanted.unread, &uri, place).await
}
