//! `GET /api/billing/ledger.csv`

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::SharedBilling;
use crate::auth::Caller;
use crate::billing::csv;
use crate::error::Error;

/// Everything that made up what the caller is owed, for a spreadsheet.
#[utoipa::path(
    get, path = "/api/billing/ledger.csv", security(("user" = [])),
    responses(
        (status = 200, body = String, content_type = "text/csv"),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn ledger(State(billing): State<SharedBilling>, caller: Caller) -> Result<Response, Error> {
    let csv = csv(&billing, caller.user).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"ledger.csv\""),
    ];
    Ok((headers, csv).into_response())
}
