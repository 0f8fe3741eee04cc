//! `POST /api/subscriptions/:id/withdraw`

use axum::Json;
use axum::extract::State;

use super::{OwnPath, SharedBilling};
use crate::auth::Caller;
use crate::billing::{self, SubscriptionView};
use crate::client::Client;
use crate::error::Error;
use crate::limits::Target;

/// Withdraws from a subscription in the days after it began: it ends at once, and what was paid goes back.
#[utoipa::path(
    post, path = "/api/subscriptions/{id}/withdraw", security(("user" = [])),
    params(OwnPath),
    responses(
        (status = 200, body = SubscriptionView),
        (status = 404, description = "not_found"),
        (status = 409, description = "subscription_over, withdrawal_over"),
        (status = 501, description = "billing_disabled"),
        (status = 503, description = "provider_unavailable"),
    ),
)]
pub(crate) async fn withdraw(
    State(billing): State<SharedBilling>,
    caller: Caller,
    client: Client,
    id: OwnPath,
) -> Result<Json<SubscriptionView>, Error> {
    billing.selling()?;
    // Each of them makes us ask the provider.
    client.limit_attempts(Target::Act("subscribe")).await?;
    Ok(Json(billing::withdraw(&billing, caller, id.0).await?))
}
