//! Telling the api over HTTP what became of a stream.

use std::time::{Duration, SystemTime};

use caudal_controller::{Api, NotAcknowledged};
use caudal_livestream::lifecycle::ReportOrder;
use caudal_service::internal::{SIGNATURE_HEADER, Signer};
use futures::future::BoxFuture;
use reqwest::{Client, StatusCode};

use crate::worker_client::chain;

/// Posts reports to the api's internal listener.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    http: Client,
    base: String,
    signer: Signer,
}

impl Reporter {
    pub(crate) fn new(base: String, signer: Signer) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .timeout(DEADLINE)
            .build()?;
        Ok(Self { http, base, signer })
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

impl Api for Reporter {
    fn report<'a>(&'a self, report: &'a ReportOrder) -> BoxFuture<'a, Result<(), NotAcknowledged>> {
        let (path, body) = match report {
            ReportOrder::Published(body) => ("/internal/ingest/published", serde_json::to_vec(body)),
            ReportOrder::Done(body) => ("/internal/ingest/done", serde_json::to_vec(body)),
        };
        // Plain structs of numbers and words: this cannot fail.
        let body = body.unwrap_or_default();
        Box::pin(async move {
            match self.post(path, &body).await {
                Ok(status) if status.is_success() => Ok(()),
                // The api has no such stream, so nobody waits for this.
                Ok(status @ (StatusCode::NOT_FOUND | StatusCode::GONE)) => {
                    tracing::warn!(%status, ?report, "the api does not know the stream of this report");
                    Ok(())
                }
                Ok(status) => Err(NotAcknowledged(format!("{path}: the api answered {status}"))),
                Err(error) => Err(NotAcknowledged(format!("{path}: {}", chain(&error)))),
            }
        })
    }
}

const DEADLINE: Duration = Duration::from_secs(5);
