//! `POST /api/streams/:id/watching`

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use caudal_livestream::StreamId;

use crate::address::Origin;
use crate::app::Chat;
use crate::auth::MaybeCaller;
use crate::client::Client;
use crate::error::Error;
use crate::presence::Viewer;
use crate::stream::{self, StreamError, StreamPath};

/// Somebody is there who has no socket in the room. A browser counts from its second time on, when it shows the number that
/// it was given the first time: whoever shows none each time would be somebody else each time.
pub(crate) async fn watching(
    State(chat): State<Arc<Chat>>,
    MaybeCaller(caller): MaybeCaller,
    StreamPath(id): StreamPath,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (presence, stream) = (&chat.presence, StreamId(id));
    // What is made up leaves nothing behind; what somebody watches exists.
    if !presence.knows(stream) && !stream::exists(&chat.database, id).await? {
        return Err(StreamError::Unknown.into());
    }
    let origin = Origin::from(client.address);
    let viewer = match caller {
        Some(caller) => Some(Viewer::person(caller.user, origin)),
        None => presence.ids().known(&headers, origin),
    };
    if let Some(viewer) = viewer {
        presence.beacon(stream, viewer, Instant::now());
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let (_, Some(cookie)) = presence.ids().give(origin) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}
