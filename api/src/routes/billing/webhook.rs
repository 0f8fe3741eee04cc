//! `POST /webhooks/stripe`: for Stripe alone, so it is not in the OpenAPI document, is not counted by any limit, and takes larger bodies.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::SharedBilling;
use crate::billing::take_webhook;
use crate::error::Error;

/// Notes what has changed. Whatever follows from that is a job's, so that Stripe never waits.
pub(crate) async fn stripe_webhook(
    State(billing): State<SharedBilling>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    take_webhook(&billing, signature, &body).await?;
    Ok(StatusCode::OK)
}

/// Stripe's longest events, with invoices of many lines in them, have some hundred kilobytes.
pub(crate) const MAX_WEBHOOK: usize = 1024 * 1024;
