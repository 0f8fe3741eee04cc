//! `GET /api/billing/owed`

use axum::Json;
use axum::extract::State;

use super::SharedBilling;
use crate::auth::Caller;
use crate::billing::{Owed, owed_to};
use crate::error::Error;

/// What the caller is owed for subscriptions of their channel, after the platform's fee.
#[utoipa::path(
    get, path = "/api/billing/owed", security(("user" = [])),
    responses(
        (status = 200, body = Owed),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn owed(State(billing): State<SharedBilling>, caller: Caller) -> Result<Json<Owed>, Error> {
    Ok(Json(owed_to(&billing, caller.user).await?))
}
