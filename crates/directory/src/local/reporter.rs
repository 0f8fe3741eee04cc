//! Telling the api what became of a stream.

use std::time::{Duration, SystemTime};

use caudal_livestream::lifecycle::{ReportKind, ReportOrder};
use caudal_service::internal::{SIGNATURE_HEADER, Signer};
use reqwest::{Client, StatusCode};

use crate::worker_client::chain;

/// Posts reports to the api's internal listener.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    http: Client,
    base: String,
    signer: Signer,
}

impl Reporter {
    pub(super) fn new(base: String, signer: Signer) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .timeout(DEADLINE)
            .build()?;
        Ok(Self { http, base, signer })
    }

    /// Sends `report` until the api acknowledges it, however long that takes.
    pub(super) async fn deliver(self, report: ReportOrder) -> ReportKind {
        let (kind, path, body) = match &report {
            ReportOrder::Published(body) => {
                (ReportKind::Published, "/internal/ingest/published", serde_json::to_vec(body))
            }
            ReportOrder::Done(body) => (ReportKind::Done, "/internal/ingest/done", serde_json::to_vec(body)),
        };
        // Plain structs of numbers and words: this cannot fail.
        let body = body.unwrap_or_default();
        let mut pause = FIRST_PAUSE;
        loop {
            let reason = match self.post(path, &body).await {
                Ok(status) if status.is_success() => return kind,
                // The api has no such stream, so nobody waits for this.
                Ok(status @ (StatusCode::NOT_FOUND | StatusCode::GONE)) => {
                    tracing::warn!(%status, ?report, "the api does not know the stream of this report");
                    return kind;
                }
                Ok(status) => format!("the api answered {status}"),
                Err(error) => chain(&error),
            };
            tracing::debug!(reason, path, "report not acknowledged, trying again");
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    async fn post(&self, path: &'static str, body: &[u8]) -> Result<StatusCode, reqwest::Error> {
        // Signed anew each time: a signature is valid for a minute.
        let signature = self.signer.sign("POST", path, body, SystemTime::now());
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header(SIGNATURE_HEADER, signature)
            .header("content-type", "application/json")
            .body(body.to_vec());
        Ok(request.send().await?.status())
    }
}

const DEADLINE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The api comes back within about this of its listener.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
