//! `GET /api/event-subscriptions`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::EventSubscriptions;
use crate::auth::Caller;
use crate::error::Error;
use crate::event_subscriptions::{self, EventSubscription};
use crate::json::Query;
use crate::page::{Page, Paging};

/// The caller's event subscriptions, the latest first.
#[utoipa::path(
    get, path = "/api/event-subscriptions", security(("user" = [])),
    params(Paging),
    responses((status = 200, body = Vec<EventSubscription>)),
)]
pub(crate) async fn list(
    State(parts): State<Arc<EventSubscriptions>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<Page<EventSubscription>, Error> {
    event_subscriptions::list(&parts.database, caller, &uri, paging).await
}
