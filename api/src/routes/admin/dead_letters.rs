//! `GET /api/admin/dead-letters`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Notifications;
use crate::auth::Admin;
use crate::error::Error;
use crate::json::Query;
use crate::outbox::{self, DeadLetter};
use crate::page::{Page, Paging};

/// Jobs that failed until they were given up.
pub(crate) async fn dead_letters(
    State(notifications): State<Arc<Notifications>>,
    _: Admin,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<Page<DeadLetter>, Error> {
    outbox::dead_letters(&notifications.database, &uri, paging).await
}
