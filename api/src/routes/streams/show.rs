//! `GET /api/streams/:id`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::error::Error;
use crate::stream::{StreamPath, StreamView, select_streams};

/// One stream, whatever became of it.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    StreamPath(id): StreamPath,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let row = select_streams!("where s.id = $1", id).fetch_optional(&app.database).await?;
    let row = row.ok_or(Error::NotFound("the stream"))?;
    Ok(StreamView::new(&app, row).unless_known(&headers))
}
