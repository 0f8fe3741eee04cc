//! `GET /api/docs`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::openapi::{Documentation, IfNoneMatch};

/// This document as a page, for people.
#[utoipa::path(
    get, path = "/api/docs", security(()),
    params(IfNoneMatch),
    responses(
        (status = 200, body = String, content_type = "text/html", headers(("ETag"))),
        (status = 304, headers(("ETag"))),
    ),
)]
pub(crate) async fn page(State(documentation): State<Arc<Documentation>>, headers: HeaderMap) -> Response {
    documentation.page.unless_known(&headers)
}
