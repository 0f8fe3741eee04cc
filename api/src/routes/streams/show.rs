//! `GET /api/streams/:id`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::Streams;
use crate::error::Error;
use crate::openapi::IfNoneMatch;
use crate::stream::{StreamError, StreamPath, StreamView, select_streams};

/// One stream, whatever became of it.
#[utoipa::path(
    get, path = "/api/streams/{id}", security(()),
    params(StreamPath, IfNoneMatch),
    responses(
        (status = 200, body = StreamView, headers(("ETag"))),
        (status = 304, headers(("ETag"))),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn show(
    State(streams): State<Arc<Streams>>,
    StreamPath(id): StreamPath,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let row = select_streams!("where s.id = $1", id).fetch_optional(&streams.database).await?;
    let row = row.ok_or(StreamError::Unknown)?;
    Ok(StreamView::new(&streams, row).unless_known(&headers))
}
