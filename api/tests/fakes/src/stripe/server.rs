//! The fake's door: who may come in, what is written down, what goes wrong on purpose.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::serve::{IncomingStream, Listener};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::errors::{Answer, StripeError};
use super::faults::Fault;
use super::form::{Params, pairs};
use super::routes::{self, Call};
use super::state::{State, new_id};
use super::{STRIPE_VERSION, control, pages};

/// A request that the API got.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// `POST`, for example.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Query and form together, decoded, in the order in which they came.
    pub parameters: Vec<(String, String)>,
    /// The `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// What it was answered; `None` while it was not, or never will be.
    pub status: Option<u16>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something may be ready to be delivered.
    pub(crate) work: Notify,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(state: State, stop: CancellationToken) -> Self {
        Self { state: Mutex::new(state), work: Notify::new(), stop }
    }

    /// Does something with the state as it is at this moment, and sends what came of it on its way.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        // What panicked may have left the clock standing.
        state.clock.hold(None);
        let now = state.now();
        state.clock.hold(Some(now));
        state.catch_up();
        let result = act(&mut state);
        state.clock.hold(None);
        state.post_events();
        drop(state);
        self.work.notify_one();
        result
    }

    /// The state as somebody left it.
    pub(crate) fn look<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What panicked has ended its own request; the others still want to be answered.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until the token is cancelled.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let router = Router::new()
        .merge(pages::router())
        .merge(control::router())
        .fallback(api)
        .with_state(shared)
        .into_make_service_with_connect_info::<Line>();
    axum::serve(Doorkeeper(listener), router).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
}

struct Asked {
    method: String,
    path: String,
    headers: HeaderMap,
    parameters: Vec<(String, String)>,
    /// To compare it with another request that has the same key.
    text: String,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

struct Reply {
    status: u16,
    body: Value,
    replayed: bool,
}

impl From<StripeError> for Reply {
    fn from(error: StripeError) -> Self {
        Self { status: error.status, body: error.json(), replayed: false }
    }
}

async fn api(
    Extract(shared): Extract<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let query = uri.query().unwrap_or_default();
    let parameters = [pairs(query), pairs(&text)].concat();
    let text = format!("{method} {uri} {text}");
    let asked = Asked { method: method.to_string(), path: uri.path().to_owned(), headers, parameters, text };
    let (number, fault) = shared.look(|state| {
        state.requests.push(Recorded {
            method: asked.method.clone(),
            path: asked.path.clone(),
            parameters: asked.parameters.clone(),
            idempotency_key: asked.header("idempotency-key").map(str::to_owned),
            status: None,
        });
        (state.requests.len() - 1, state.faults.take(&asked.method, &asked.path))
    });
    let reply = match fault {
        Some(Fault::ClosedBefore) => return line.cut(),
        Some(Fault::SilentBefore) => return shared.says_nothing().await,
        Some(Fault::Error500) => Reply { status: 500, body: broken(), replayed: false },
        Some(Fault::RateLimited(_)) => {
            let message = "Request rate limit exceeded.";
            Reply::from(StripeError { status: 429, ..StripeError::invalid(message).code("rate_limit") })
        }
        _ => shared.with(|state| state.reply(&asked, fault)),
    };
    match fault {
        Some(Fault::ClosedAfter) => return line.cut(),
        Some(Fault::SilentAfter) => return shared.says_nothing().await,
        Some(Fault::Slow(millis)) => tokio::time::sleep(Duration::from_millis(millis.into())).await,
        _ => {}
    }
    shared.look(|state| {
        // A test may have forgotten the requests in between.
        if let Some(recorded) = state.requests.get_mut(number) {
            recorded.status = Some(reply.status);
        }
    });
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), Json(reply.body)).into_response();
    let headers = response.headers_mut();
    headers.insert("request-id", new_id("req").parse().unwrap());
    headers.insert("stripe-version", STRIPE_VERSION.parse().unwrap());
    if let Some(key) = asked.headers.get("idempotency-key") {
        headers.insert("idempotency-key", key.clone());
    }
    if reply.replayed {
        headers.insert("idempotent-replayed", "true".parse().unwrap());
    }
    if let Some(Fault::RateLimited(seconds)) = fault {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

impl Shared {
    async fn says_nothing(&self) -> Response {
        self.stop.cancelled().await;
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}

impl State {
    fn reply(&mut self, asked: &Asked, fault: Option<Fault>) -> Reply {
        self.try_reply(asked, fault).unwrap_or_else(Reply::from)
    }

    fn try_reply(&mut self, asked: &Asked, fault: Option<Fault>) -> Answer<Reply> {
        self.let_in(asked)?;
        let (route, id) = routes::find(&asked.method, &asked.path)?;
        let params = Params::parse(&asked.parameters)?;
        route.check(&params)?;
        let key = asked.header("idempotency-key").filter(|_| asked.method == "POST");
        if key.is_some_and(|key| key.len() > 255) {
            return Err(StripeError::invalid("Idempotency keys have up to 255 characters."));
        }
        let now = self.now();
        if let Some(key) = key
            && let Some((status, body)) = self.keys.replay(key, &asked.text, now)?
        {
            return Ok(Reply { status, body, replayed: true });
        }
        let done =
            (route.act)(self, &Call { id, params: &params }).and_then(|value| self.expand(value, &params));
        let (status, body, kept) = match done {
            _ if fault == Some(Fault::Error500Kept) => (500, broken(), true),
            Ok(value) => (200, value, true),
            Err(error) => (error.status, error.json(), !error.is_validation()),
        };
        if let Some(key) = key {
            let busy_until = match fault {
                Some(Fault::Slow(millis)) => Some(Instant::now() + Duration::from_millis(millis.into())),
                _ => None,
            };
            let answer = kept.then(|| (status, body.clone()));
            self.keys.keep(key, &asked.text, now, busy_until, answer);
        }
        Ok(Reply { status, body, replayed: false })
    }

    fn let_in(&self, asked: &Asked) -> Answer<()> {
        let Some(key) = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) else {
            return Err(StripeError::unauthorized("You did not provide an API key."));
        };
        if key != self.settings.key {
            return Err(StripeError::unauthorized("Invalid API Key provided."));
        }
        if asked.header("stripe-version") != Some(STRIPE_VERSION) {
            let message = format!("Stripe-Version must be {STRIPE_VERSION}.");
            return Err(StripeError::invalid(message));
        }
        let form = asked.header("content-type").unwrap_or("application/x-www-form-urlencoded");
        if !form.starts_with("application/x-www-form-urlencoded") {
            let message =
                "Invalid request (check that your POST content type is application/x-www-form-urlencoded).";
            return Err(StripeError::invalid(message));
        }
        Ok(())
    }
}

fn broken() -> Value {
    json!({ "error": { "type": "api_error", "message": "An unknown error occurred." } })
}

/// A connection, as far as a handler can cut it.
#[derive(Clone, Debug)]
struct Line(Arc<AtomicBool>);

impl Line {
    /// Ends the connection: what is returned is never written.
    fn cut(&self) -> Response {
        self.0.store(true, Ordering::Relaxed);
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}

impl Connected<IncomingStream<'_, Doorkeeper>> for Line {
    fn connect_info(stream: IncomingStream<'_, Doorkeeper>) -> Self {
        stream.io().line.clone()
    }
}

struct Doorkeeper(TcpListener);

impl Listener for Doorkeeper {
    type Io = Cuttable;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Cuttable, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Cuttable { stream, line: Line(Arc::default()) }, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Cuttable {
    stream: TcpStream,
    line: Line,
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.line.0.load(Ordering::Relaxed) {
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
