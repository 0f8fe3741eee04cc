//! `GET /api/billing/plans`

use axum::Json;
use axum::extract::State;

use super::SharedBilling;
use crate::auth::Caller;
use crate::billing::{PlansOfStreamer, plans_of};
use crate::error::Error;

/// What the caller sells, and may.
#[utoipa::path(
    get, path = "/api/billing/plans", security(("user" = [])),
    responses(
        (status = 200, body = PlansOfStreamer),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn own_plans(
    State(billing): State<SharedBilling>,
    caller: Caller,
) -> Result<Json<PlansOfStreamer>, Error> {
    Ok(Json(plans_of(&billing, caller.user).await?))
}
