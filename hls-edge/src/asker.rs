//! Who asks, as far as a request tells.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::uri::{PathAndQuery, Uri};
use caudal_service::origin::Origin;

use crate::edge::Edge;

/// The other side of a request.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// The address that limits count; `None` when only a trusted proxy is known.
    pub(crate) origin: Option<Origin>,
    /// What the player calls itself.
    pub(crate) agent: Vec<u8>,
    /// What stood in the path in a ticket's place.
    pub(crate) ticket: Option<Arc<str>>,
}

impl FromRequestParts<Arc<Edge>> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(peer)| peer.ip().to_canonical());
        if let Some(peer) = peer {
            edge.forwarding.look(&edge.trusted_proxies, peer, &parts.headers);
        }
        let real = peer.map(|peer| edge.trusted_proxies.real(peer, &parts.headers));
        let origin = real.filter(|real| !edge.trusted_proxies.contains(*real)).map(Origin::from);
        let agent = parts.headers.get(USER_AGENT).map_or_else(Vec::new, |agent| agent.as_bytes().to_vec());
        let ticket = parts.extensions.get::<PathTicket>().map(|PathTicket(text)| Arc::clone(text));
        Ok(Self { origin, agent, ticket })
    }
}

#[derive(Clone)]
struct PathTicket(Arc<str>);

/// Takes the ticket out of `/v/{ticket}/…`, before the path is looked at: what is behind it is the same for all.
pub(crate) fn without_ticket(mut request: Request) -> Request {
    let Some(rest) = request.uri().path_and_query().and_then(|whole| whole.as_str().strip_prefix("/v/"))
    else {
        return request;
    };
    let Some((ticket, _)) = rest.split_once('/').filter(|(ticket, _)| !ticket.contains('?')) else {
        return request;
    };
    let ticket: Arc<str> = ticket.into();
    let Some(inner) = rest.get(ticket.len()..).and_then(|inner| inner.parse::<PathAndQuery>().ok()) else {
        return request;
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(inner);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(PathTicket(ticket));
    }
    request
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_ticket_is_taken_out_of_the_path_and_nothing_else_is_changed() {
        for (target, inner, ticket) in [
            ("/v/abc/live/s/master.m3u8?_HLS_msn=1", "/live/s/master.m3u8?_HLS_msn=1", Some("abc")),
            ("/v//live", "/live", Some("")),
            ("/v/abc", "/v/abc", None),
            ("/v/abc?x=/y", "/v/abc?x=/y", None),
            ("/live/v/abc/x", "/live/v/abc/x", None),
            ("/v/a/v/b/live", "/v/b/live", Some("a")),
            ("*", "*", None),
        ] {
            let request = without_ticket(Request::builder().uri(target).body(Body::empty()).unwrap());
            assert_eq!(request.uri().to_string(), inner, "{target}");
            let found = request.extensions().get::<PathTicket>().map(|PathTicket(text)| text.to_string());
            assert_eq!(found.as_deref(), ticket, "{target}");
        }
    }
}
