//! `/healthz`, `/readyz` and `/metrics`: the admin listener's pages.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::sync::watch;

/// Whether this process should get traffic. Cheap to clone; all clones are one. Not ready at first.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<watch::Sender<bool>>);

impl Readiness {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.send_replace(ready);
    }

    /// What was said last.
    pub fn get(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        // The sender is ours, so this ends only by its value.
        let _ = self.0.subscribe().wait_for(|ready| *ready).await;
    }
}

/// The routes of an admin listener.
pub fn routes(readiness: Readiness, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(readiness)
        .route("/metrics", get(metrics).with_state(registry))
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    if readiness.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(registry): State<Registry>) -> impl IntoResponse {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
                .into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
