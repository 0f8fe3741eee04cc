//! What a router measures of its publisher just now, for the publisher's own eyes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_livestream::StreamId;
use caudal_livestream::record::{LiveStream, MediaInfo};
use caudal_livestream::router_session::{RouterSession, session_path};
use caudal_service::http_client::{SignedClient, body_within, with_causes};
use caudal_service::internal::Signer;
use reqwest::StatusCode;
use tokio::time::{Instant, timeout};

/// Asks routers, each of them at most once a second for a stream, however many pages show it.
pub(crate) struct LiveFigures {
    http: SignedClient,
    // Held for map operations only, never across an await.
    answers: Mutex<HashMap<StreamId, Slot>>,
}

/// The last answer for a stream. Whoever asks holds the lock meanwhile, and all others wait for that answer.
type Slot = Arc<tokio::sync::Mutex<Option<Answer>>>;

struct Answer {
    at: Instant,
    /// None when the router has no such publisher, or did not answer.
    session: Option<RouterSession>,
}

impl LiveFigures {
    /// `signer` signs as `api`.
    pub(crate) fn new(signer: Signer) -> Result<Self, reqwest::Error> {
        Ok(Self { http: SignedClient::new(signer)?, answers: Mutex::default() })
    }

    /// What the router of the stream's publisher measures now; none when it cannot say in time. Then what it wrote last
    /// to the record stands in.
    pub(crate) async fn of(&self, stream: &LiveStream) -> Option<MediaInfo> {
        let slot = self.slot(stream.spec.stream)?;
        let mut answer = slot.lock().await;
        if answer.as_ref().is_none_or(|answer| answer.at.elapsed() >= FRESH) {
            let session = self.ask(stream).await;
            *answer = Some(Answer { at: Instant::now(), session });
        }
        let session = answer.as_ref()?.session.as_ref()?;
        // Another publisher than the record's: one that has just gone, or has just come.
        (session.input.session == Some(stream.spec.ingest.session)).then(|| session.media.clone())?
    }

    /// Forgets old answers; to be called every few seconds.
    pub(crate) fn sweep(&self) {
        self.answers().retain(|_, slot| match slot.try_lock() {
            Ok(answer) => answer.as_ref().is_some_and(|answer| answer.at.elapsed() < FRESH),
            // Somebody is asking.
            Err(_) => true,
        });
    }

    fn slot(&self, stream: StreamId) -> Option<Slot> {
        let mut answers = self.answers();
        if answers.len() >= MAX_ANSWERS && !answers.contains_key(&stream) {
            return None;
        }
        Some(Arc::clone(answers.entry(stream).or_default()))
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<StreamId, Slot>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, stream: &LiveStream) -> Option<RouterSession> {
        let (stream, router) = (stream.spec.stream, &stream.spec.ingest.router);
        match timeout(DEADLINE, self.request(router, stream)).await {
            Ok(Ok(session)) => session,
            Ok(Err(reason)) => {
                tracing::debug!(%stream, router, reason, "a router does not say what it measures");
                None
            }
            Err(_) => {
                tracing::debug!(%stream, router, "a router does not say in time what it measures");
                None
            }
        }
    }

    async fn request(&self, router: &str, stream: StreamId) -> Result<Option<RouterSession>, String> {
        let response = self.http.get(router, &session_path(stream)).send().await;
        let response = response.map_err(|error| with_causes(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(format!("it answered {status}")),
        }
        let body = body_within(response, MAX_BODY).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body).map(Some).map_err(|error| error.to_string())
    }
}

/// A router measures once a second.
const FRESH: Duration = Duration::from_secs(1);
/// A page waits for this; the record has figures too.
const DEADLINE: Duration = Duration::from_millis(500);
/// A handful of numbers and names.
const MAX_BODY: usize = 16 * 1024;
/// Streams whose owners look at them within the few seconds between two sweeps; a platform has 5,000 at most.
const MAX_ANSWERS: usize = 10_000;
