//! An api that writes down what it is told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex as StdMutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use caudal_livestream::report::{Done, Published};
use caudal_service::internal::{CallerKey, InternalListener, Verifier, listener_of, require_signature};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::PATIENCE;

pub(super) struct FakeApi {
    base: String,
    told: Mutex<mpsc::UnboundedReceiver<String>>,
    answers: watch::Sender<StatusCode>,
    _task: JoinSet<()>,
}

#[derive(Clone)]
struct Told {
    lines: mpsc::UnboundedSender<String>,
    answer: watch::Receiver<StatusCode>,
    /// Reports are idempotent: one that was taken before says nothing new.
    taken: Arc<StdMutex<HashSet<String>>>,
}

impl Told {
    fn take(&self, line: String) -> StatusCode {
        let answer = *self.answer.borrow();
        if !answer.is_success() || self.taken.lock().unwrap().insert(line.clone()) {
            self.lines.send(line).unwrap();
        }
        answer
    }
}

impl FakeApi {
    pub(super) async fn start() -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let (answers, answer) = watch::channel(StatusCode::NO_CONTENT);
        let verifier = Arc::new(Verifier::new().allow("controller", Self::key()));
        let router = Router::new()
            .route("/internal/ingest/published", post(published))
            .route("/internal/ingest/done", post(done))
            .layer(from_fn_with_state(verifier, require_signature))
            .with_state(Told { lines: sender, answer, taken: Arc::default() });
        let router = listener_of(InternalListener::Api, router);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, told: Mutex::new(told), answers, _task: task }
    }

    pub(super) fn key() -> CallerKey {
        CallerKey::new(*b"0123456789abcdef0123456789abcdef")
    }

    pub(super) fn base(&self) -> String {
        self.base.clone()
    }

    /// From now on it answers so; what it refuses, it still writes down.
    pub(super) fn answer(&self, status: StatusCode) {
        self.answers.send_replace(status);
    }

    /// The next report.
    pub(super) async fn next(&self) -> String {
        timeout(PATIENCE, self.told.lock().await.recv()).await.expect("no report").unwrap()
    }
}

async fn published(State(told): State<Told>, axum::Json(report): axum::Json<Published>) -> StatusCode {
    told.take(format!("published {}", report.stream))
}

async fn done(State(told): State<Told>, axum::Json(report): axum::Json<Done>) -> StatusCode {
    let reason = serde_json::to_value(report.reason).unwrap();
    told.take(format!("done {} published={} {}", report.stream, report.published, reason.as_str().unwrap()))
}
