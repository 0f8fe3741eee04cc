//! `POST /api/subscriptions`

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use caudal_billing::Tier;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::SharedBilling;
use crate::auth::Caller;
use crate::billing::{CheckoutView, NewCheckout, PaymentMethod};
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::limits::Target;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewSubscription)]
pub(crate) struct Wanted {
    /// Of whose channel.
    #[garde(skip)]
    streamer_id: Uuid,
    /// `basic`, `pro` or `premium`.
    #[garde(skip)]
    #[schema(value_type = String, example = "pro")]
    tier: Tier,
    /// How it is going to be paid.
    #[garde(skip)]
    payment_method: PaymentMethod,
}

/// Begins to subscribe: answers where to pay. The subscription is there once it was paid; `GET /api/checkouts/{id}` says so. The same asked for again
/// is the same checkout.
#[utoipa::path(
    post, path = "/api/subscriptions", security(("user" = [])),
    request_body = Wanted,
    responses(
        (status = 202, body = CheckoutView, headers(("Location"))),
        (status = 409, description = "already_subscribed"),
        (status = 422, description = "oneself"),
        (status = 501, description = "billing_disabled"),
        (status = 503, description = "provider_unavailable"),
    ),
)]
pub(crate) async fn create(
    State(billing): State<SharedBilling>,
    caller: Caller,
    client: Client,
    Checked(wanted): Checked<Wanted>,
) -> Result<Response, Error> {
    billing.selling()?;
    // Each of them makes us ask the provider.
    client.limit_attempts(Target::Act("subscribe")).await?;
    // There is one way to pay yet.
    let Wanted { streamer_id, tier, payment_method: PaymentMethod::Card } = wanted;
    let checkout = NewCheckout { streamer: streamer_id, tier };
    let opened = checkout.open(&billing, caller).await?;
    let location = format!("/api/checkouts/{}", opened.id());
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(opened)).into_response())
}
