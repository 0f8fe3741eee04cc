//! `GET /api/billing`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::SharedBilling;
use crate::app::Selling;

/// Whether anything is sold here, and how.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BillingTerms)]
pub(crate) struct Terms {
    enabled: bool,
    #[schema(example = "EUR")]
    currency: Option<String>,
    /// For how many days a subscription can be withdrawn from, with the money back.
    #[schema(example = 14)]
    withdrawal_days: Option<i64>,
}

/// Whether anything is sold here, so that pages without that show no trace of it.
#[utoipa::path(
    get, path = "/api/billing", security(()),
    responses((status = 200, body = Terms)),
)]
pub(crate) async fn terms(State(billing): State<SharedBilling>) -> Json<Terms> {
    let config = billing.selling.as_ref().map(|Selling { config, .. }| config);
    Json(Terms {
        enabled: config.is_some(),
        currency: config.map(|config| config.currency.to_string()),
        withdrawal_days: config.map(|config| config.withdrawal().num_days()),
    })
}
