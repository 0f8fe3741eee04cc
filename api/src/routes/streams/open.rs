//! `GET /api/streams/open`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use uuid::Uuid;

use crate::app::Streams;
use crate::auth::Caller;
use crate::error::Error;
use crate::stream::{StreamRow, StreamView, select_streams};

/// The caller's open streams, of which there is one at most: what `mine` answers, for a page that wants to know whether
/// there is one. To a browser a `404` is a fault, and its console says so.
#[utoipa::path(
    get, path = "/api/streams/open", security(("user" = [])),
    responses((status = 200, body = Vec<StreamView>)),
)]
pub(crate) async fn open(State(streams): State<Arc<Streams>>, caller: Caller) -> Result<Response, Error> {
    let row = open_stream_of(&streams, caller.user).await?;
    Ok(Json(row.map(|row| StreamView::new(&streams, row)).into_iter().collect::<Vec<_>>()).into_response())
}

/// The user's stream that is live, or prepared and waiting for a publisher.
pub(super) async fn open_stream_of(streams: &Streams, user: Uuid) -> Result<Option<StreamRow>, Error> {
    let row = select_streams!("where s.user_id = $1 and s.ended_at is null", user);
    Ok(row.fetch_optional(&streams.database).await?)
}
