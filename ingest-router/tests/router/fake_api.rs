//! The api's internal listener, as far as a router asks it.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use caudal_livestream::StreamId;
use caudal_livestream::admission::{
    Access, AuthorizeRequest, Authorized, DenialCode, Denied, LatencyMode, SecondPublisher,
};
use caudal_service::internal::{Verifier, require_signature};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What it answers.
#[derive(Clone)]
pub(crate) enum Mood {
    Authorize {
        stream: StreamId,
        policy: SecondPublisher,
    },
    Deny(DenialCode, &'static str),
    /// Nothing.
    Silence,
    /// As the second for this key, as the third for any other.
    OnlyFor(&'static str, Box<Mood>, Box<Mood>),
    /// Fails once, and so many times more, then is as the second.
    Fail(u32, Box<Mood>),
}

pub(crate) struct FakeApi {
    pub(crate) url: String,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

struct Shared {
    mood: Mood,
    asked: Vec<AuthorizeRequest>,
}

impl FakeApi {
    pub(crate) async fn start(verifier: Verifier, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared { mood, asked: Vec::new() }));
        let router = Router::new()
            .route("/internal/ingest/authorize", post(authorize))
            .with_state(Arc::clone(&shared))
            .layer(middleware::from_fn_with_state(Arc::new(verifier), require_signature));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    pub(crate) fn asked(&self) -> Vec<AuthorizeRequest> {
        self.shared.lock().unwrap().asked.clone()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn authorize(
    State(shared): State<Arc<Mutex<Shared>>>,
    Json(request): Json<AuthorizeRequest>,
) -> Response {
    match answer(&shared, request) {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

fn answer(shared: &Mutex<Shared>, request: AuthorizeRequest) -> Option<Response> {
    let mut shared = shared.lock().unwrap();
    let ended = request.ended;
    let mood = match shared.mood.clone() {
        Mood::OnlyFor(key, its, _) if request.key.reveal() == key => *its,
        Mood::OnlyFor(_, _, others) => *others,
        mood => mood,
    };
    shared.asked.push(request);
    Some(match mood {
        Mood::Silence | Mood::OnlyFor(..) => return None,
        Mood::Authorize { stream, policy } => {
            let stream = if ended == Some(stream) {
                let next = StreamId::generate();
                shared.mood = Mood::Authorize { stream: next, policy };
                next
            } else {
                stream
            };
            Json(Authorized {
                stream,
                channel: "ann".into(),
                title: "hello".into(),
                access: Access::Public,
                record: false,
                latency_mode: LatencyMode::Low,
                pool: None,
                ladder: Vec::new(),
                policy,
                hints: None,
            })
            .into_response()
        }
        Mood::Deny(code, message) => {
            (StatusCode::FORBIDDEN, Json(Denied { code, message: message.into() })).into_response()
        }
        Mood::Fail(0, then) => {
            shared.mood = *then;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Mood::Fail(times, then) => {
            shared.mood = Mood::Fail(times - 1, then);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    })
}
