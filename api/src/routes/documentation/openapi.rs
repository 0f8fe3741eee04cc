//! `GET /api/openapi.json`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::openapi::{Documentation, IfNoneMatch};

/// This document, in OpenAPI 3.1.
#[utoipa::path(
    get, path = "/api/openapi.json", security(()),
    params(IfNoneMatch),
    responses(
        (status = 200, body = serde_json::Value, headers(("ETag"))),
        (status = 304, headers(("ETag"))),
    ),
)]
pub(crate) async fn openapi(State(documentation): State<Arc<Documentation>>, headers: HeaderMap) -> Response {
    documentation.document.unless_known(&headers)
}
