//! Telling the api over HTTP what became of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use caudal_controller::{Api, NotAcknowledged};
use caudal_livestream::lifecycle::ReportOrder;
use caudal_service::http_client::{SignedClient, why_not_sent};
use caudal_service::internal::{Signer, answered_by, refusal};
use futures::future::BoxFuture;
use reqwest::{Response, StatusCode};

/// Posts reports to the api's internal listener.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    http: SignedClient,
    base: String,
    /// Whether the last report was not taken: it is said once, and once when it is over.
    away: Arc<AtomicBool>,
}

impl Reporter {
    pub(crate) fn new(base: String, signer: Signer) -> Result<Self, reqwest::Error> {
        Ok(Self { http: SignedClient::new(signer)?, base, away: Arc::default() })
    }

    async fn post(&self, path: &'static str, body: Vec<u8>) -> Result<Response, reqwest::Error> {
        self.http.post(&self.base, path, body).timeout(DEADLINE).send().await
    }

    /// Every report that is not taken is told again for as long as it takes, so that only the first one is news.
    fn say(&self, told: &Result<(), NotAcknowledged>) {
        let away = self.away.swap(told.is_err(), Ordering::Relaxed);
        match told {
            Err(reason) if !away => {
                tracing::warn!(api = self.base, %reason, "the api does not take what becomes of the streams; trying again");
            }
            Ok(()) if away => {
                tracing::info!(api = self.base, "the api takes what becomes of the streams again");
            }
            _ => {}
        }
    }

    async fn tell(&self, report: &ReportOrder) -> Result<(), NotAcknowledged> {
        let (path, body) = match report {
            ReportOrder::Published(body) => ("/internal/ingest/published", serde_json::to_vec(body)),
            ReportOrder::Done(body) => ("/internal/ingest/done", serde_json::to_vec(body)),
        };
        // Plain structs of numbers and words: this cannot fail.
        let body = body.unwrap_or_default();
        let sent = self.post(path, body).await;
        let answer = sent.map_err(|error| NotAcknowledged(why_not_sent(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        // The api has no such stream, so nobody waits for this. Whatever else answers so knows no stream at all.
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) && answered_by(API, answer.headers()) {
            tracing::warn!(%status, ?report, "the api does not know the stream of this report");
            return Ok(());
        }
        Err(NotAcknowledged(refusal(API, status, answer.headers())))
    }
}

impl Api for Reporter {
    fn report<'a>(&'a self, report: &'a ReportOrder) -> BoxFuture<'a, Result<(), NotAcknowledged>> {
        Box::pin(async move {
            let told = self.tell(report).await;
            self.say(&told);
            told
        })
    }
}

/// The role that is told.
const API: &str = "api";
const DEADLINE: Duration = Duration::from_secs(5);
