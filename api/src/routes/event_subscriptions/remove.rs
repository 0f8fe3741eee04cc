//! `DELETE /api/event-subscriptions/:id`

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use uuid::Uuid;

use crate::app::EventSubscriptions;
use crate::auth::Caller;
use crate::error::Error;
use crate::event_subscriptions;

/// Ends one of the caller's event subscriptions. Messages that were not delivered yet are not sent.
#[utoipa::path(
    delete, path = "/api/event-subscriptions/{id}", security(("user" = [])),
    params(("id" = Uuid, Path, description = "The event subscription's id")),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn remove(
    State(parts): State<Arc<EventSubscriptions>>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Error> {
    let Path(id) = id.map_err(|_| Error::NotFound("this event subscription"))?;
    event_subscriptions::remove(&parts.database, caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
