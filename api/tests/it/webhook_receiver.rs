//! Somebody's server that is told what happens, for one test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A request that it got.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    text: String,
}

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Repeats a challenge, or has nothing to say.
    Agrees,
    Says(u16, &'static str),
    /// More than anybody reads, with the challenge at its beginning.
    Rambles,
    /// To an address that would agree.
    Redirects,
    Never,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    /// As `CAUDAL_WEBHOOK_HOSTS` has it.
    pub(crate) host: String,
    seen: Arc<Seen>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Seen {
    heard: Mutex<Vec<Heard>>,
    /// For the next requests; then it agrees.
    replies: Mutex<VecDeque<Reply>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Seen>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        tokio::spawn(async move {
            stopping.run_until_cancelled(async { axum::serve(listener, router).await.unwrap() }).await;
        });
        Self { url: format!("http://{host}/hooks?room=1"), host, seen, _stop: stop.drop_guard() }
    }

    pub(crate) fn replies(&self, replies: &[Reply]) {
        self.seen.replies.lock().unwrap().extend(replies);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.seen.heard.lock().unwrap().clone()
    }

    /// All of it, as soon as there is so much.
    pub(crate) async fn has_heard(&self, count: usize) -> Vec<Heard> {
        let waiting = async {
            while self.heard().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok(), "only {:?}", self.heard());
        self.heard()
    }
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> &str {
        self.header("caudal-message-id")
    }

    pub(crate) fn kind(&self) -> &str {
        self.header("caudal-message-type")
    }

    /// As docs/webhooks.md says.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(self.id().as_bytes());
        mac.update(self.header("caudal-message-timestamp").as_bytes());
        mac.update(self.text.as_bytes());
        self.header("caudal-message-signature")
            == format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }
}

async fn answer(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    let challenge = body["challenge"].as_str().unwrap_or_default().to_owned();
    seen.heard.lock().unwrap().push(Heard { headers, body, text });
    let reply = seen.replies.lock().unwrap().pop_front().unwrap_or(Reply::Agrees);
    match reply {
        Reply::Agrees => challenge.into_response(),
        Reply::Says(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Reply::Rambles => format!("{challenge}{}", " ".repeat(2_000)).into_response(),
        Reply::Redirects => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/elsewhere")]).into_response()
        }
        Reply::Never => std::future::pending().await,
    }
}
