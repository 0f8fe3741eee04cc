//! A client's requests on their way to Engine.IO.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use engineioxide::TransportType;
use engineioxide::config::EngineIoConfig;
use engineioxide::service::EngineIoService;
use engineioxide::socket::Sid;
use http::Uri;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::engine::{Engine, Newcomer, Ticket};
use super::line::Line;
use crate::error::Error;
use crate::input::InputError;
use crate::limits::LimitError;
use crate::router::SOCKET_IO_BARE;
use crate::sockets::Sockets;

/// Engine.IO, and how clients reach it.
pub(crate) struct SocketIo {
    engine: EngineIoService<Engine>,
    polling: bool,
}

impl SocketIo {
    /// `polling`: clients may begin with HTTP requests, of which each is answered within `deadline`.
    pub(crate) fn new(polling: bool, deadline: Duration) -> Self {
        let config = EngineIoConfig::builder()
            .req_path(SOCKET_IO_BARE)
            // A request that waits for something to be told is answered by the ping.
            .ping_interval((deadline / 3).saturating_mul(2))
            .ping_timeout(PING_PATIENCE)
            .max_buffer_size(UNSENT)
            .max_payload(MAX_ANSWER)
            .ws_max_message_size(MAX_BODY)
            .ws_max_frame_size(MAX_BODY)
            .transports([TransportType::Polling, TransportType::Websocket])
            .build();
        Self { engine: EngineIoService::with_config(Arc::new(Engine), config), polling }
    }

    /// Answers one request. `newcomer` is asked for room where it begins a connection.
    pub(crate) async fn answer(
        &self,
        sockets: &Sockets,
        request: Request,
        newcomer: impl FnOnce() -> Result<Newcomer, Error>,
    ) -> Result<Response, Error> {
        let asked = Asked::of(request.uri());
        if asked.transport == Some(TransportType::Polling) && !self.polling {
            return Err(InputError::Malformed(NO_POLLING.into()).into());
        }
        let ticket = if asked.begins(request.method()) { Some(Ticket::of(newcomer()?)) } else { None };
        match (asked.transport, asked.fits()) {
            (Some(TransportType::Websocket), true) => self.upgrade(sockets, request, asked.session, ticket),
            _ => self.poll(request, ticket).await,
        }
    }

    /// Every request but a WebSocket's handshake; also what makes no sense, which Engine.IO has numbers for.
    async fn poll(&self, request: Request, ticket: Option<Ticket>) -> Result<Response, Error> {
        let request = if let Some(ticket) = ticket {
            // Engine.IO keeps this as long as the connection.
            Request::builder().uri(request.uri().clone()).extension(ticket).body(Body::empty())
        } else {
            let (parts, body) = request.into_parts();
            let Ok(body) = to_bytes(body, MAX_BODY).await else {
                return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response());
            };
            Ok(Request::from_parts(parts, Body::from(body)))
        };
        let request = request.map_err(|error| Error::Internal(format!("a request that is none: {error}")))?;
        match self.engine.clone().call(request).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(never) => match never {},
        }
    }

    /// A WebSocket, for a new connection or for the `session` that has begun by polling.
    fn upgrade(
        &self,
        sockets: &Sockets,
        mut request: Request,
        session: Option<Sid>,
        ticket: Option<Ticket>,
    ) -> Result<Response, Error> {
        let key = websocket_key(&request).ok_or_else(|| InputError::Malformed(NO_WEBSOCKET.into()))?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
            .map_err(|error| Error::Internal(format!("a WebSocket's handshake: {error}")))?;
        let upgrading = hyper::upgrade::on(&mut request);
        let mut begins = http::Request::new(());
        *begins.uri_mut() = request.uri().clone();
        if let Some(ticket) = ticket {
            begins.extensions_mut().insert(ticket);
        }
        let engine = self.engine.clone();
        if !sockets.run(|_| carry(engine, upgrading, begins, session)) {
            return Err(LimitError::TooManySockets.into());
        }
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Ok(response)
    }
}

/// Hands a WebSocket to Engine.IO, and stays until that let go of it. Dropping this cuts it off.
async fn carry(
    mut engine: EngineIoService<Engine>,
    upgrading: OnUpgrade,
    request: http::Request<()>,
    session: Option<Sid>,
) {
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    let gone = CancellationToken::new();
    if let Ok(Ok(upgraded)) = timeout(HANDSHAKE, upgrading).await {
        let line = Line::new(TokioIo::new(upgraded), cut, gone.clone());
        if engine.call((line, request)).await.is_ok() {
            gone.cancelled().await;
        }
    }
    // A session whose change to a WebSocket failed would wait for it for ever. One that had changed is over, or knows nothing of
    // HTTP requests any more.
    if let Some(session) = session {
        let uri = format!("{SOCKET_IO_BARE}/?EIO=4&transport=polling&sid={session}");
        if let Ok(request) = Request::post(uri).body(Body::from(CLOSE)) {
            let _ = engine.call(request).await;
        }
    }
}

/// What a client asks for, read as Engine.IO does.
struct Asked {
    transport: Option<TransportType>,
    /// Of the protocol's version that there is.
    current: bool,
    /// Names a session, perhaps one that cannot be.
    named: bool,
    session: Option<Sid>,
}

impl Asked {
    fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let value = |name: &str| {
            let pair = query.split('&').find(|pair| pair.starts_with(name))?;
            pair.split('=').nth(1)
        };
        let named = query.split('&').find_map(|pair| pair.strip_prefix("sid="));
        Self {
            transport: match value("transport=") {
                Some("polling") => Some(TransportType::Polling),
                Some("websocket") => Some(TransportType::Websocket),
                _ => None,
            },
            current: value("EIO=") == Some("4"),
            named: named.is_some(),
            session: named.and_then(|named| named.parse().ok()),
        }
    }

    fn fits(&self) -> bool {
        self.current && self.named == self.session.is_some()
    }

    fn begins(&self, method: &Method) -> bool {
        self.fits() && !self.named && self.transport.is_some() && method == Method::GET
    }
}

/// The client's half of the handshake (RFC 6455 §4.1). HTTP/2 has another one, which nobody uses here.
fn websocket_key(request: &Request) -> Option<HeaderValue> {
    let headers: &HeaderMap = request.headers();
    let says = |name, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let asks = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asks).cloned()
}

const NO_POLLING: &str =
    "this server has several replicas and takes WebSockets only: connect with `transports: ['websocket']`";
const NO_WEBSOCKET: &str = "this is no WebSocket's handshake; see docs/realtime.md";
/// For a client to answer a ping.
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// For an upgraded connection to be handed over.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Packets that a client has not taken yet, at most: as much as two rooms have waiting for it.
const UNSENT: usize = 1024;
/// Bytes of packets in one answer to a polling client. What does not fit is lost when the client changes to a WebSocket just then, so
/// it is more than a newcomer is told.
const MAX_ANSWER: u64 = 1024 * 1024;
/// Bytes of packets in one request of a polling client, and of a WebSocket's message. Smaller ones that are too large still are told so.
const MAX_BODY: usize = 64 * 1024;
/// Engine.IO's word for that.
const CLOSE: &str = "1";
