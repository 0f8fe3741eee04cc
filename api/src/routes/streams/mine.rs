//! `GET /api/streams/mine`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::auth::Caller;
use crate::error::Error;
use crate::stream::{StreamView, select_streams};

/// The caller's open stream: live, or prepared and waiting for a publisher.
pub(crate) async fn mine(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let row = select_streams!("where s.user_id = $1 and s.ended_at is null", caller.user);
    let row = row.fetch_optional(&app.database).await?.ok_or(Error::NoOpenStream)?;
    Ok(StreamView::new(&app, row).unless_known(&headers))
}
