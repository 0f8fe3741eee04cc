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
pub struct Readiness(Arc<watch::Sender<Standing>>);

#[derive(Clone, Debug, Default)]
struct Standing {
    ready: bool,
    /// What is in the way, as far as somebody has said it.
    obstacle: Option<String>,
}

impl Readiness {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.send_modify(|standing| standing.ready = ready);
    }

    /// Says what is in the way of being ready, in words for whoever looks after the platform; none when nothing is any more.
    pub fn set_obstacle(&self, obstacle: Option<String>) {
        self.0.send_modify(|standing| standing.obstacle = obstacle);
    }

    /// What was said last.
    pub fn get(&self) -> bool {
        self.0.borrow().ready
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        // The sender is ours, so this ends only by its value.
        let _ = self.0.subscribe().wait_for(|standing| standing.ready).await;
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
    let Standing { ready, obstacle } = readiness.0.borrow().clone();
    match (ready, obstacle) {
        (true, _) => (StatusCode::OK, "ready\n".to_owned()),
        (false, None) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
        (false, Some(obstacle)) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {obstacle}\n")),
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

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn who_is_not_ready_says_what_is_in_the_way() {
        let readiness = Readiness::default();
        let answer = async || {
            let request = Request::get("/readyz").body(Body::empty()).unwrap();
            let answer = routes(readiness.clone(), Registry::new()).oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            (status, String::from_utf8(to_bytes(answer.into_body(), 1000).await.unwrap().to_vec()).unwrap())
        };
        assert_eq!(answer().await, (503, "not ready\n".to_owned()));
        readiness.set_obstacle(Some("the controller is away".to_owned()));
        assert_eq!(answer().await, (503, "not ready: the controller is away\n".to_owned()));
        readiness.set(true);
        assert_eq!(answer().await, (200, "ready\n".to_owned()));
    }
}
