//! `GET /api/event-subscriptions/:id`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use uuid::Uuid;

use crate::app::EventSubscriptions;
use crate::auth::Caller;
use crate::error::Error;
use crate::event_subscriptions::{self, EventSubscription};

/// One of the caller's event subscriptions, with what went wrong last.
#[utoipa::path(
    get, path = "/api/event-subscriptions/{id}", security(("user" = [])),
    params(("id" = Uuid, Path, description = "The event subscription's id")),
    responses(
        (status = 200, body = EventSubscription),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn show(
    State(parts): State<Arc<EventSubscriptions>>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<EventSubscription>, Error> {
    let Path(id) = id.map_err(|_| Error::NotFound("this event subscription"))?;
    Ok(Json(event_subscriptions::show(&parts.database, caller, id).await?))
}
