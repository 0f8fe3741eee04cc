//! `GET /ws/notifications`: a WebSocket (docs/realtime.md).

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::FutureExt as _;

use crate::app::{Accounts, Chat, Notifications};
use crate::client::Client;
use crate::error::Error;
use crate::input::InputError;
use crate::limits::LimitError;
use crate::notifications::converse;

/// Hears who is live, and what the person is told once the client has said who it is.
pub(crate) async fn socket(
    State(notifications): State<Arc<Notifications>>,
    State(chat): State<Arc<Chat>>,
    State(accounts): State<Arc<Accounts>>,
    client: Client,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let upgrade = upgrade
        .map_err(|_| InputError::Malformed("this address is for WebSockets; see docs/realtime.md".into()))?;
    if !chat.origins.allow(&headers) {
        return Err(Error::ForeignOrigin);
    }
    let place = chat.sockets.enter(client.address).map_err(|full| {
        tracing::debug!(%full, "no room for a socket");
        LimitError::TooManySockets
    })?;
    Ok(place.upgrade(upgrade, move |socket| {
        async move { converse(&notifications, &accounts, socket).await }.boxed()
    }))
}
