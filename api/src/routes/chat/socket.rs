//! `GET /ws/chat/:streamId`: a WebSocket (docs/realtime.md).

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use caudal_livestream::StreamId;
use futures::FutureExt as _;
use garde::Validate;
use serde::Deserialize;

use crate::address;
use crate::app::{Accounts, Chat, Notifications};
use crate::chat::{Position, converse};
use crate::client::Client;
use crate::error::Error;
use crate::input::InputError;
use crate::json::Query;
use crate::limits::LimitError;
use crate::stream::StreamPath;

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `EPOCH.OFFSET` of the last event that the client has.
    #[garde(length(bytes, max = 64))]
    since: Option<String>,
}

/// Listens to a room, and talks once the client has said who it is: nothing secret stands in an address.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn socket(
    State(chat): State<Arc<Chat>>,
    State(accounts): State<Arc<Accounts>>,
    State(notifications): State<Arc<Notifications>>,
    StreamPath(stream): StreamPath,
    Query(wanted): Query<Wanted>,
    client: Client,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let upgrade = upgrade
        .map_err(|_| InputError::Malformed("this address is for WebSockets; see docs/realtime.md".into()))?;
    if !chat.origins.allow(&headers) {
        return Err(Error::ForeignOrigin);
    }
    // What is no position is one that is not known.
    let since: Option<Position> = wanted.since.as_deref().and_then(|since| since.parse().ok());
    let place = chat.sockets.enter(client.address).map_err(|full| {
        tracing::debug!(%full, "no room for a socket");
        LimitError::TooManySockets
    })?;
    let origin = address::Origin::from(client.address);
    let ids = chat.presence.ids();
    let (viewer, cookie) =
        ids.known(&headers, origin).map_or_else(|| ids.give(origin), |viewer| (viewer, None));
    let mut response = place.upgrade(upgrade, move |socket| {
        let stream = StreamId(stream);
        async move { converse(&chat, &accounts, &notifications, stream, since, viewer, socket).await }.boxed()
    });
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Whose pages may open sockets: browsers let any page do it, and say only which.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    pub(crate) fn new(origins: impl IntoIterator<Item = String>) -> Self {
        Self(origins.into_iter().collect())
    }

    /// Programs send no origin. A page of the host that it asks is our own, whatever that is called from there.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let of_host = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
        of_host || self.0.iter().any(|known| known == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_somebody_else_opens_no_socket() {
        let origins = Origins::new(["https://live.example".to_owned()]);
        let with = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            origins.allow(&headers)
        };
        assert!(with(None, "live.example"));
        assert!(with(Some("https://live.example"), "10.0.0.1:3000"));
        assert!(with(Some("http://localhost:3000"), "localhost:3000"));
        for other in
            ["https://evil.example", "https://live.example.evil", "null", "http://localhost:3001", ""]
        {
            assert!(!with(Some(other), "localhost:3000"), "{other}");
        }
    }
}
