//! `GET /api/streams/mine`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::open::open_stream_of;
use crate::app::Streams;
use crate::auth::Caller;
use crate::error::Error;
use crate::openapi::IfNoneMatch;
use crate::stream::{StreamError, StreamView};

/// The caller's open stream: live, or prepared and waiting for a publisher.
#[utoipa::path(
    get, path = "/api/streams/mine", security(("user" = [])),
    params(IfNoneMatch),
    responses(
        (status = 200, body = StreamView, headers(("ETag"))),
        (status = 304, headers(("ETag"))),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn mine(
    State(streams): State<Arc<Streams>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let row = open_stream_of(&streams, caller.user).await?.ok_or(StreamError::NoneOpen)?;
    Ok(StreamView::new(&streams, row).unless_known(&headers))
}
