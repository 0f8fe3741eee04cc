//! `POST /api/streams/:id/watching`

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use caudal_livestream::StreamId;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::address::Origin;
use crate::app::Chat;
use crate::auth::MaybeCaller;
use crate::client::Client;
use crate::error::Error;
use crate::json::CheckedOrDefault;
use crate::presence::{Latency, Viewer};
use crate::stream::{self, StreamError, StreamPath};

#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Watching {
    /// The PROGRAM-DATE-TIME of the picture that is on the screen now, if it plays live: the platform's mean latency follows from it. One
    /// that is not of the last minute says nothing.
    #[garde(skip)]
    playhead: Option<DateTime<Utc>>,
}

/// Says that somebody watches who has no socket in the room. A browser counts from its second time on, when it shows the number that
/// it was given the first time: whoever shows none each time would be somebody else each time.
#[utoipa::path(
    post, path = "/api/streams/{id}/watching", security((), ("user" = [])),
    params(StreamPath), request_body = Option<Watching>,
    responses(
        (status = 204, headers(("Set-Cookie"))),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn watching(
    State(chat): State<Arc<Chat>>,
    MaybeCaller(caller): MaybeCaller,
    StreamPath(id): StreamPath,
    client: Client,
    headers: HeaderMap,
    CheckedOrDefault(Watching { playhead }): CheckedOrDefault<Watching>,
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
        let now = Instant::now();
        presence.beacon(stream, viewer, now);
        if let Some(latency) = playhead.and_then(|playhead| Latency::between(playhead, Utc::now()))
            && presence.watches(stream, viewer, latency, now)
        {
            chat.metrics.watched_late(latency.seconds());
        }
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let (_, Some(cookie)) = presence.ids().give(origin) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}
