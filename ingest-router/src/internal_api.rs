//! What other routers and the api may ask this one: `GET /session/{stream}`.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use caudal_livestream::StreamId;
use caudal_service::internal::{InternalListener, Verifier, listener_of, require_signature};

use crate::sessions::Sessions;

/// The routes; all of them only for callers that `verifier` knows.
pub(crate) fn routes(sessions: Sessions, verifier: Verifier) -> Router {
    let routes = Router::new()
        .route("/session/{stream}", get(session))
        .with_state(sessions)
        .layer(middleware::from_fn_with_state(Arc::new(verifier), require_signature));
    listener_of(InternalListener::IngestRouter, routes)
}

async fn session(State(sessions): State<Sessions>, Path(stream): Path<StreamId>) -> Response {
    match sessions.session(stream, Instant::now()) {
        Some(session) => Json(session).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
