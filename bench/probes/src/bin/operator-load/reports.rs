//! The api's internal listener: acknowledges what becomes of streams, and counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;

/// How many reports came.
#[derive(Default)]
pub(crate) struct Reports {
    published: AtomicU64,
    done: AtomicU64,
}

/// Where it listens, as the operator is told.
pub(crate) async fn listen() -> anyhow::Result<(String, TcpListener)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok((format!("http://{}", listener.local_addr()?), listener))
}

impl Reports {
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) -> anyhow::Result<()> {
        let published = |State(reports): State<Arc<Self>>| async move {
            reports.published.fetch_add(1, Ordering::Relaxed);
            StatusCode::NO_CONTENT
        };
        let done = |State(reports): State<Arc<Self>>| async move {
            reports.done.fetch_add(1, Ordering::Relaxed);
            StatusCode::NO_CONTENT
        };
        let routes = Router::new()
            .route("/internal/ingest/published", post(published))
            .route("/internal/ingest/done", post(done))
            .with_state(self);
        Ok(axum::serve(listener, routes).await?)
    }

    /// Beginnings and ends so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.published.load(Ordering::Relaxed), self.done.load(Ordering::Relaxed))
    }
}
