//! `PUT /api/billing/plans/:tier` and `DELETE /api/billing/plans/:tier`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use caudal_billing::Minor;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{SharedBilling, TierPath};
use crate::auth::Caller;
use crate::billing::{self, PlansOfStreamer, plans_of};
use crate::error::Error;
use crate::json::Checked;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPrice)]
pub(crate) struct Wanted {
    /// For a month, in the currency's smallest unit, tax included.
    #[garde(range(min = 1, max = MOST))]
    #[schema(minimum = 1, maximum = 100_000_000, example = 999)]
    amount: i64,
}

/// Sells a tier of the caller's channel, or sells it at another price from now on. Who has it already keeps their price.
#[utoipa::path(
    put, path = "/api/billing/plans/{tier}", security(("user" = [])),
    params(TierPath), request_body = Wanted,
    responses(
        (status = 200, body = PlansOfStreamer),
        (status = 404, description = "not_found"),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn sell(
    State(billing): State<SharedBilling>,
    caller: Caller,
    tier: TierPath,
    Checked(wanted): Checked<Wanted>,
) -> Result<Json<PlansOfStreamer>, Error> {
    billing::sell(&billing, caller, tier.0, Minor(wanted.amount)).await?;
    Ok(Json(plans_of(&billing, caller.user).await?))
}

/// Sells a tier no more. Who has it keeps it.
#[utoipa::path(
    delete, path = "/api/billing/plans/{tier}", security(("user" = [])),
    params(TierPath),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn stop_selling(
    State(billing): State<SharedBilling>,
    caller: Caller,
    tier: TierPath,
) -> Result<StatusCode, Error> {
    billing::stop_selling(&billing, caller, tier.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// No currency's month costs more.
const MOST: i64 = 100_000_000;
