//! `GET /api/checkouts/:id`

use axum::Json;
use axum::extract::State;

use super::{OwnPath, SharedBilling};
use crate::auth::Caller;
use crate::billing::{CheckoutView, show_checkout};
use crate::error::Error;

/// What became of a checkout of the caller's. The provider is asked, so that it is known even if none of its webhooks arrives.
#[utoipa::path(
    get, path = "/api/checkouts/{id}", security(("user" = [])),
    params(OwnPath),
    responses(
        (status = 200, body = CheckoutView),
        (status = 404, description = "not_found"),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn checkout(
    State(billing): State<SharedBilling>,
    caller: Caller,
    id: OwnPath,
) -> Result<Json<CheckoutView>, Error> {
    Ok(Json(show_checkout(&billing, caller, id.0).await?))
}
