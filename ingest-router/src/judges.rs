//! Who knows whether a stream's publisher is alive: its worker, and failing that the router that holds it.

use std::time::{Duration, Instant};

use caudal_directory::WorkerClient;
use caudal_livestream::StreamId;
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::LiveStream;
use caudal_livestream::router_session::{RouterSession, session_path};
use caudal_service::http_client::{SignedClient, body_within, with_causes};
use caudal_service::internal::Signer;
use reqwest::StatusCode;
use tokio::time::timeout;

use crate::sessions::Sessions;
use crate::takeover::Testimony;

/// Asks them.
#[derive(Clone, Debug)]
pub(crate) struct Judges {
    workers: WorkerClient,
    input_key: RoleKey,
    routers: SignedClient,
    /// This router's name in the directory.
    this_router: String,
    sessions: Sessions,
}

impl Judges {
    pub(crate) fn new(
        input_key: RoleKey,
        signer: Signer,
        this_router: String,
        sessions: Sessions,
    ) -> Result<Self, reqwest::Error> {
        let workers = WorkerClient::new()?;
        let routers = SignedClient::new(signer)?;
        Ok(Self { workers, input_key, routers, this_router, sessions })
    }

    /// What is known of the publisher that `record` names.
    pub(crate) async fn testimony(&self, record: &LiveStream) -> Testimony {
        let stream = record.spec.stream;
        if let Some(worker) = &record.status.worker {
            let proof = self.input_key.proof(stream, record.status.epoch);
            match timeout(WORKER_DEADLINE, self.workers.input(worker, &proof)).await {
                // A worker that has not met this publisher yet says nothing about it.
                Ok(Ok(input))
                    if input.session.is_some() && input.generation >= record.spec.ingest.generation =>
                {
                    return match Testimony::from(&input) {
                        // The second one is the same encoder, which comes back as its router asked it to.
                        Testimony::LastMedia(_) | Testimony::Connected
                            if self.is_asked_to_reconnect(record).await =>
                        {
                            Testimony::Absent
                        }
                        testimony => testimony,
                    };
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%stream, %error, "the worker cannot judge"),
                Err(_) => tracing::debug!(%stream, "the worker does not answer"),
            }
        }
        match self.session(record).await {
            Some(RouterSession { asked_to_reconnect: false, input, .. }) => Testimony::from(&input),
            _ => Testimony::Absent,
        }
    }

    async fn is_asked_to_reconnect(&self, record: &LiveStream) -> bool {
        self.session(record).await.is_some_and(|session| session.asked_to_reconnect)
    }

    /// What the router of the publisher that `record` names says of it.
    async fn session(&self, record: &LiveStream) -> Option<RouterSession> {
        let (stream, router) = (record.spec.stream, &record.spec.ingest.router);
        if *router == self.this_router {
            return self.sessions.session(stream, Instant::now());
        }
        match timeout(ROUTER_DEADLINE, self.ask_router(router, stream)).await {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => {
                tracing::debug!(%stream, router, error, "the publisher's router cannot judge");
                None
            }
            Err(_) => None,
        }
    }

    async fn ask_router(&self, router: &str, stream: StreamId) -> Result<Option<RouterSession>, String> {
        let answer = self.routers.get(router, &session_path(stream)).send().await;
        let answer = answer.map_err(|error| with_causes(&error))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(format!("it answered {status}")),
        }
        let body = body_within(answer, MAX_SESSION).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body).map(Some).map_err(|error| error.to_string())
    }
}

/// Together with the router's they leave room in the 3 s for which a second publisher is held.
const WORKER_DEADLINE: Duration = Duration::from_millis(1500);
const ROUTER_DEADLINE: Duration = Duration::from_secs(1);
/// A handful of numbers and names.
const MAX_SESSION: usize = 16 * 1024;
