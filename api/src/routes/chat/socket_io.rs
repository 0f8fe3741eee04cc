//! `/socket.io/`: Socket.IO (docs/realtime.md), over HTTP requests and WebSockets.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;

use crate::address::Origin;
use crate::app::{Accounts, Chat, Notifications};
use crate::chat::Newcomer;
use crate::client::Client;
use crate::error::Error;
use crate::limits::LimitError;

/// Whoever begins a connection takes a place as with a WebSocket.
pub(crate) async fn socket_io(
    State(chat): State<Arc<Chat>>,
    State(accounts): State<Arc<Accounts>>,
    State(notifications): State<Arc<Notifications>>,
    client: Client,
    request: Request,
) -> Result<Response, Error> {
    if !chat.origins.allow(request.headers()) {
        return Err(Error::ForeignOrigin);
    }
    let origin = Origin::from(client.address);
    let ids = chat.presence.ids();
    let (viewer, mut cookie) =
        ids.known(request.headers(), origin).map_or_else(|| ids.give(origin), |viewer| (viewer, None));
    let mut given = None;
    let newcomer = || {
        let place = chat.sockets.enter(client.address).map_err(|full| {
            tracing::debug!(%full, "no room for a client of Socket.IO");
            LimitError::TooManySockets
        })?;
        given = cookie.take();
        Ok(Newcomer { place, chat: Arc::clone(&chat), accounts, notifications, viewer })
    };
    let mut response = chat.socket_io.answer(&chat.sockets, request, newcomer).await?;
    if let Some(cookie) = given {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
