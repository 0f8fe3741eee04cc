//! What surrounds every answer: an id, a log line, a metric, a deadline, limits, and the error's JSON.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tracing::Instrument as _;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::address::{self, Origin};
use crate::app::Entrance;
use crate::auth::bearer;
use crate::error::Error;
use crate::limits::{Bucket, Class, Decision, LimitError};
use crate::problem::Problem;
use crate::router::{SOCKET_IO, SOCKET_IO_BARE};

/// One request and its answer. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Exchange(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    // Held for single assignments only, never across an await.
    counted: Mutex<Option<Decision>>,
}

impl Exchange {
    /// The exchange that a request belongs to.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Error> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Error::Internal("a request outside an exchange".into()))
    }

    /// Counts this request in one more bucket; what the emptiest bucket said goes into the answer's headers.
    pub(crate) async fn count(
        &self,
        entrance: &Entrance,
        class: Class,
        bucket: &Bucket,
    ) -> Result<(), Error> {
        let decision = entrance.limits.count(class, bucket).await;
        let mut counted = self.0.counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted = Some(counted.map_or(decision, |earlier| earlier.stricter(decision)));
        match decision.refused() {
            None => Ok(()),
            Some(wait) => {
                entrance.metrics.limited(class);
                Err(LimitError::RateLimited(wait).into())
            }
        }
    }
}

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct ProblemWithId<'a> {
    #[schema(value_type = String, example = "about:blank")]
    r#type: &'static str,
    #[serde(flatten)]
    #[schema(value_type = Problem, inline)]
    problem: &'a Problem,
    /// As `X-Request-Id` and the server's log have it.
    #[schema(value_type = String)]
    request_id: &'a str,
}

/// The outermost layer of both listeners.
pub(crate) async fn surround(
    State(entrance): State<Arc<Entrance>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = Uuid::now_v7().simple().to_string();
    let exchange = Exchange(Arc::new(Inner { id, counted: Mutex::new(None) }));
    request.extensions_mut().insert(exchange.clone());
    // The pattern, not the path: ids would make a metric each.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", id = exchange.0.id, %method, route);

    let answer = async {
        match tokio::time::timeout(entrance.deadline, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Error::from(LimitError::TimedOut).into_response(),
        }
    };
    let mut response = answer.instrument(span.clone()).await;

    let status = response.status();
    entrance.metrics.answered(&method, &route, status, began.elapsed());
    span.in_scope(|| tracing::debug!(status = status.as_u16(), took = ?began.elapsed(), "answered"));

    if let Ok(value) = HeaderValue::try_from(&exchange.0.id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    if let Some(decision) = *exchange.0.counted.lock().unwrap_or_else(PoisonError::into_inner) {
        for (name, value) in decision.headers() {
            if let Some(value) = value {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
    }
    with_problem(response, &exchange.0.id, &method)
}

/// Carries a change to its end, or to its deadline, also when its client has gone meanwhile: rooms are told, and answers that are kept are
/// dropped, after the commit.
pub(crate) async fn finish(State(entrance): State<Arc<Entrance>>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let change = tokio::time::timeout(entrance.deadline, next.run(request)).in_current_span();
    match entrance.changes.spawn(change).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Error::from(LimitError::TimedOut).into_response(),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Error::Internal(format!("a change was not carried out: {error}")).into_response(),
        },
    }
}

/// Gives an error its body: our own errors carry theirs, a layer's bare status gets one.
pub(crate) fn with_problem(mut response: Response, id: &str, method: &Method) -> Response {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_bare_error(&response) => Problem::of_status(status),
        None => return response,
    };
    let body = ProblemWithId { r#type: "about:blank", problem: &problem, request_id: id };
    let Ok(json) = serde_json::to_vec(&body) else { return response };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, json.len().into());
    *response.body_mut() = if method == Method::HEAD { Body::empty() } else { Body::from(json) };
    response
}

fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return false;
    }
    // Layers that only know a status say nothing, or say it in plain text; JSON and HTML are meant as they are.
    response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// Counts every request under `/api`: by person where one is logged in, and by address in any case. By either alone, whoever
/// has a token would have two limits, and whoever registers ten accounts eleven.
pub(crate) async fn limit(State(entrance): State<Arc<Entrance>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let counted = async {
        let exchange = Exchange::of(&parts)?;
        if let Some(peer) = address::peer(&parts) {
            entrance.forwarding.look(&entrance.trusted_proxies, peer, &parts.headers);
        }
        let class = if is_watching(&parts) { Class::Watching } else { Class::Requests };
        // Only the signature counts here: a revoked session is refused later, and until then has a bucket of its own.
        if let Some(claims) =
            bearer(&parts.headers).and_then(|token| entrance.access_tokens.verify(token).ok())
        {
            // First: what this refuses does not use up the neighbours' share of the address.
            exchange.count(&entrance, class, &Bucket::of_user(class, claims.user)).await?;
        }
        let bucket = Bucket::of_origin(class, Origin::from(visitor(&entrance, &parts)?));
        exchange.count(&entrance, class, &bucket).await
    };
    match counted.await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    }
}

/// What every open home page, watch page and studio asks again and again, whoever looks at it.
fn is_watching(parts: &Parts) -> bool {
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    // Whoever polls also sends by requests of their own; what they say is counted in the room.
    if route.is_some_and(|route| route == SOCKET_IO || route == SOCKET_IO_BARE) {
        return true;
    }
    let says_so = parts.method == Method::POST && route == Some(BEACON);
    says_so
        || reads && route.is_some_and(|route| WATCHED.contains(&route) || route == LIST && !is_search(parts))
}

/// Searches are typed by people and cost more, so they count as requests. The query is decoded as the handler does it.
fn is_search(parts: &Parts) -> bool {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    pairs.is_ok_and(|Query(pairs)| pairs.iter().any(|(name, _)| name == "q"))
}

const WATCHED: [&str; 10] = [
    "/ws/notifications",
    "/api/notifications/unread",
    "/ws/chat/{id}",
    "/api/streams/{id}",
    "/api/streams/{id}/health",
    "/api/streams/open",
    "/api/streams/failed",
    "/api/users/{id}",
    "/api/users/me/following/live",
    "/api/categories/{slug}/streams",
];
const BEACON: &str = "/api/streams/{id}/watching";
const LIST: &str = "/api/streams";

fn visitor(entrance: &Entrance, parts: &Parts) -> Result<IpAddr, Error> {
    address::visitor(&entrance.trusted_proxies, parts)
        .ok_or_else(|| Error::Internal("a request without a peer".into()))
}

/// What a panicking handler answers.
#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(crate) fn after_panic(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let words =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Internal(format!("panic: {}", words.unwrap_or("no words"))).into_response()
}

/// For paths under `/api` that nobody serves.
pub(crate) async fn nothing_here() -> Error {
    Error::NotFound("this path")
}
