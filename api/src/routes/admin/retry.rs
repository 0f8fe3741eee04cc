//! `POST /api/admin/dead-letters/:id/retry`

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use uuid::Uuid;

use crate::app::Notifications;
use crate::auth::Admin;
use crate::error::Error;
use crate::outbox;

/// Has a job tried again, now and as often as a new one.
pub(crate) async fn retry(
    State(notifications): State<Arc<Notifications>>,
    Admin(caller): Admin,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Error> {
    let unknown = || Error::NotFound("this dead letter");
    let Path(id) = id.map_err(|_| unknown())?;
    if !outbox::retry(&notifications.database, id).await? {
        return Err(unknown());
    }
    tracing::info!(target: "caudal_api::audit", %id, admin = %caller.user, "a job is tried again");
    Ok(StatusCode::ACCEPTED)
}
