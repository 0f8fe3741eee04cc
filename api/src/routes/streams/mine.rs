//! `GET /api/streams/mine`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::open::open_stream_of;
use crate::app::App;
use crate::auth::Caller;
use crate::error::Error;
use crate::stream::StreamView;

/// The caller's open stream: live, or prepared and waiting for a publisher.
pub(crate) async fn mine(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let row = open_stream_of(&app, caller.user).await?.ok_or(Error::NoOpenStream)?;
    Ok(StreamView::new(&app, row).unless_known(&headers))
}
