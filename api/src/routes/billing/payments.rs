//! `GET /api/billing/payments`

use axum::extract::{OriginalUri, State};

use super::SharedBilling;
use crate::auth::Caller;
use crate::billing::{PaymentView, payments_of};
use crate::error::Error;
use crate::json::Query;
use crate::page::{Page, Paging};

/// What the caller has paid, the latest first.
#[utoipa::path(
    get, path = "/api/billing/payments", security(("user" = [])),
    params(Paging),
    responses(
        (status = 200, body = Vec<PaymentView>),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn payments(
    State(billing): State<SharedBilling>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<Page<PaymentView>, Error> {
    payments_of(&billing, caller.user, &uri, &paging).await
}
