//! `PATCH /api/subscriptions/:id`

use axum::Json;
use axum::extract::State;
use caudal_billing::Tier;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{OwnPath, SharedBilling};
use crate::auth::Caller;
use crate::billing::{self, SubscriptionView};
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::limits::Target;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SubscriptionChange)]
pub(crate) struct Wanted {
    /// `basic`, `pro` or `premium`.
    #[garde(skip)]
    #[schema(value_type = String, example = "premium")]
    tier: Tier,
}

/// Changes the tier: to a higher one at once, for which the rest of the month is charged; to a lower one from the next renewal on. The present
/// tier takes back what was to come. Where a bank wants the payment confirmed first, the tier stays as it is and `payUrl` says where.
#[utoipa::path(
    patch, path = "/api/subscriptions/{id}", security(("user" = [])),
    params(OwnPath), request_body = Wanted,
    responses(
        (status = 200, body = SubscriptionView),
        (status = 402, description = "payment_failed"),
        (status = 404, description = "not_found"),
        (status = 409, description = "subscription_over, change_pending"),
        (status = 501, description = "billing_disabled"),
        (status = 503, description = "provider_unavailable"),
    ),
)]
pub(crate) async fn change(
    State(billing): State<SharedBilling>,
    caller: Caller,
    client: Client,
    id: OwnPath,
    Checked(wanted): Checked<Wanted>,
) -> Result<Json<SubscriptionView>, Error> {
    billing.selling()?;
    // A card must not be tried again and again.
    client.limit_attempts(Target::Act("subscribe")).await?;
    Ok(Json(billing::change_tier(&billing, caller, id.0, wanted.tier).await?))
}
