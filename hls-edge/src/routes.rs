//! The edge's table of contents, and what all answers have in common.

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use caudal_livestream::StreamId;
use caudal_livestream::record::Phase;
use tower::ServiceExt as _;

use crate::answer::{Cache, Refusal, media};
use crate::asker::{Asker, without_ticket};
use crate::edge::Edge;
use crate::media_files::get_media_file;
use crate::metrics::Metrics;
use crate::playlists::{get_manifest, get_master, get_media_playlist};

pub(crate) fn router(edge: Arc<Edge>) -> Router {
    let routes = Router::new()
        .route("/live/{stream}/begun", get(get_begun))
        .route("/live/{stream}/master.m3u8", get(get_master))
        .route("/live/{stream}/manifest.mpd", get(get_manifest))
        .route("/live/{stream}/{rendition}/index.m3u8", get(get_media_playlist))
        .route("/live/{stream}/{rendition}/{file}", get(get_media_file))
        .route("/thumbnails/{stream}/poster.jpg", get(get_poster))
        .fallback(|| async { Refusal::NotFound })
        .layer(from_fn(any_origin))
        .with_state(edge);
    // In front of the routes, which see a path without a ticket.
    Router::new().fallback_service(routes.map_request(without_ticket))
}

/// `GET /live/{stream}/begun`: `true` once there is something to watch, `false` before that and for whatever is not known.
/// For pages that wait: what a playlist answers until then is an error in the browser's console, each time.
async fn get_begun(State(edge): State<Arc<Edge>>, Path(stream): Path<String>, asker: Asker) -> Response {
    let grant = stream.parse().ok().and_then(|stream| edge.grant(stream, &asker).ok());
    let begun =
        grant.is_some_and(|grant| matches!(grant.record().status.phase, Phase::Live | Phase::Reconnecting));
    let response = ([(CACHE_CONTROL, Cache::Shared.header())], Json(begun)).into_response();
    count(&edge.metrics, "begun", Ok(response))
}

/// `GET /thumbnails/{stream}/poster.jpg`
async fn get_poster(State(edge): State<Arc<Edge>>, Path(stream): Path<String>, asked: HeaderMap) -> Response {
    let answer = async {
        let stream: StreamId = stream.parse().map_err(|_| Refusal::NotFound)?;
        if !edge.streams.known(stream) {
            return Err(Refusal::NotFound);
        }
        Ok(media(edge.stored.poster(stream).await?, "image/jpeg", POSTER, &asked))
    };
    count(&edge.metrics, "poster", answer.await)
}

/// An answer, or the refusal as one, which is counted.
pub(crate) fn count(metrics: &Metrics, kind: &'static str, answer: Result<Response, Refusal>) -> Response {
    let response = answer.unwrap_or_else(Refusal::into_response);
    metrics.requests.with_label_values(&[kind, response.status().as_str()]).inc();
    metrics.sent.inc_by(response.body().size_hint().exact().unwrap_or(0));
    response
}

/// Players run on any page, so every answer is for any origin, and a preflight is answered at once.
async fn any_origin(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    } else {
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Age, Content-Length, Content-Range, Date"),
        );
    }
    response
}

/// It stays for a minute or what is set; a cache must not make it much older.
const POSTER: Cache = Cache::Seconds(5);
