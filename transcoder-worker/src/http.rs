//! The worker's HTTP side: assignment, input, feed, media, health and metrics.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use caudal_livestream::RenditionName;
use caudal_livestream::assignment::Assignment;
use caudal_livestream::credentials::WorkerKey;
use caudal_livestream::feed::InputState;
use caudal_livestream::proof::{Proof, SignedAssignment, SignedRenewal};
use caudal_service::health::{self, Readiness};
use prometheus::Registry;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use crate::assignment_desk::AssignmentDesk;
use crate::feed;
use crate::input::InputBoard;
use crate::media_memory::{MediaFile, MediaMemory};
use crate::session::Order;

/// The stream that a worker has, as its HTTP side sees it.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) memory: Arc<Mutex<MediaMemory>>,
    pub(crate) board: InputBoard,
}

pub(crate) fn routes(
    desk: Arc<AssignmentDesk>,
    held: watch::Receiver<Option<Held>>,
    readiness: Readiness,
    registry: Registry,
) -> Router {
    Router::new()
        .route("/key", get(key).with_state(Arc::clone(&desk)))
        .route(
            "/assignment",
            put(assign).layer(DefaultBodyLimit::max(MAX_ORDER)).with_state(Arc::clone(&desk)),
        )
        .route("/credentials", put(renew).layer(DefaultBodyLimit::max(MAX_ORDER)).with_state(desk))
        .route("/input", get(input).with_state(held.clone()))
        .route("/feed", get(open_feed).with_state(held.clone()))
        .route("/media/{rendition}/{file}", get(media).with_state(held))
        .merge(health::routes(readiness, registry))
}

async fn assign(State(desk): State<Arc<AssignmentDesk>>, Json(signed): Json<SignedAssignment>) -> Response {
    match desk.take(&signed).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refused) => {
            tracing::warn!(%refused, "assignment refused");
            (refused.status(), format!("{refused}\n")).into_response()
        }
    }
}

/// Anybody may know it.
async fn key(State(desk): State<Arc<AssignmentDesk>>) -> Result<Json<WorkerKey>, StatusCode> {
    desk.key().map(|key| Json(WorkerKey { key })).ok_or(StatusCode::NOT_FOUND)
}

async fn renew(State(desk): State<Arc<AssignmentDesk>>, Json(signed): Json<SignedRenewal>) -> Response {
    match desk.renew(&signed) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refused) => {
            tracing::warn!(%refused, "new storage credentials refused; the old ones are kept");
            (refused.status(), format!("{refused}\n")).into_response()
        }
    }
}

async fn input(
    State(held): State<watch::Receiver<Option<Held>>>,
    headers: HeaderMap,
) -> Result<Json<InputState>, StatusCode> {
    let held = shown_to(&held, &headers, Shown::RouterToo)?;
    Ok(Json(held.board.state()))
}

#[derive(Deserialize)]
struct FeedQuery {
    #[serde(default)]
    renditions: String,
    events: Option<FeedEvents>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FeedEvents {
    Control,
    /// A choice that a later release knows. Its controller gets every announcement, and takes from those what it needs.
    #[serde(other)]
    All,
}

async fn open_feed(
    State(held): State<watch::Receiver<Option<Held>>>,
    Query(query): Query<FeedQuery>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let held = shown_to(&held, &headers, Shown::FeedOnly)?;
    let (reader, body) = match (query.events, query.renditions.as_str()) {
        (Some(FeedEvents::Control), _) => feed::control_feed(),
        (Some(FeedEvents::All) | None, "" | "none") => feed::feed(HashSet::new()),
        (Some(FeedEvents::All) | None, names) => {
            // As many as a request's head holds, until the session drops those that the stream does not have. To cut the
            // list here could drop the ones that it has.
            let wants: Result<HashSet<RenditionName>, _> = names.split(',').map(str::parse).collect();
            feed::feed(wants.map_err(|_| StatusCode::BAD_REQUEST)?)
        }
    };
    // Full or closed when the session is at its end.
    held.orders.send(Order::Join(reader)).await.map_err(|_| StatusCode::GONE)?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(body)).into_response())
}

async fn media(
    State(held): State<watch::Receiver<Option<Held>>>,
    Path((rendition, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let held = shown_to(&held, &headers, Shown::FeedOnly)?;
    let rendition: RenditionName = rendition.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    let file = MediaFile::parse(&file).ok_or(StatusCode::NOT_FOUND)?;
    let found = held.memory.lock().unwrap_or_else(PoisonError::into_inner).get(&rendition, &file);
    let data = found.ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(header::CONTENT_TYPE, "video/mp4"), (header::CACHE_CONTROL, "no-store")], data).into_response())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    FeedOnly,
    RouterToo,
}

/// The stream, for a caller whose proof fits it.
fn shown_to(
    held: &watch::Receiver<Option<Held>>,
    headers: &HeaderMap,
    shown: Shown,
) -> Result<Held, StatusCode> {
    let held = held.borrow().clone().ok_or(StatusCode::NOT_FOUND)?;
    let proof = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(Proof::from_peer)
        .ok_or(StatusCode::UNAUTHORIZED)?;
    let fits = held.assignment.knows_reader(&proof)
        || shown == Shown::RouterToo && held.assignment.knows_router(&proof);
    if fits { Ok(held) } else { Err(StatusCode::FORBIDDEN) }
}

/// A ladder of eight rungs, with its signature, is below 4 kB; sealed credentials are about 3 kB, and 32 kB at most.
const MAX_ORDER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A controller of a later release asks like that, and reads what it needs out of everything.
    #[test]
    fn a_choice_of_events_that_is_not_known_means_all_of_them() {
        for (query, expected) in [
            ("events=control", Some(FeedEvents::Control)),
            ("events=of-a-later-release", Some(FeedEvents::All)),
            ("events=", Some(FeedEvents::All)),
            ("renditions=none", None),
        ] {
            let uri = format!("/feed?{query}").parse().unwrap();
            let Query(read) = Query::<FeedQuery>::try_from_uri(&uri).unwrap();
            assert_eq!(read.events, expected, "{query}");
        }
    }
}
