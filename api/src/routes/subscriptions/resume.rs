//! `POST /api/subscriptions/:id/resume`

use axum::Json;
use axum::extract::State;

use super::{OwnPath, SharedBilling};
use crate::auth::Caller;
use crate::billing::{self, SubscriptionView};
use crate::client::Client;
use crate::error::Error;
use crate::limits::Target;

/// Has a subscription renewed that was cancelled and is not over yet.
#[utoipa::path(
    post, path = "/api/subscriptions/{id}/resume", security(("user" = [])),
    params(OwnPath),
    responses(
        (status = 200, body = SubscriptionView),
        (status = 404, description = "not_found"),
        (status = 409, description = "subscription_over"),
        (status = 501, description = "billing_disabled"),
        (status = 503, description = "provider_unavailable"),
    ),
)]
pub(crate) async fn resume(
    State(billing): State<SharedBilling>,
    caller: Caller,
    client: Client,
    id: OwnPath,
) -> Result<Json<SubscriptionView>, Error> {
    billing.selling()?;
    // Each of them makes us ask the provider.
    client.limit_attempts(Target::Act("subscribe")).await?;
    Ok(Json(billing::resume(&billing, caller, id.0).await?))
}
