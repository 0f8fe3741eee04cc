//! Telling the api over HTTP what became of a stream.

use std::time::Duration;

use caudal_controller::{Api, NotAcknowledged};
use caudal_livestream::lifecycle::ReportOrder;
use caudal_service::http_client::{SignedClient, with_causes};
use caudal_service::internal::Signer;
use futures::future::BoxFuture;
use reqwest::StatusCode;

/// Posts reports to the api's internal listener.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    http: SignedClient,
    base: String,
}

impl Reporter {
    pub(crate) fn new(base: String, signer: Signer) -> Result<Self, reqwest::Error> {
        Ok(Self { http: SignedClient::new(signer)?, base })
    }

    async fn post(&self, path: &'static str, body: Vec<u8>) -> Result<StatusCode, reqwest::Error> {
        Ok(self.http.post(&self.base, path, body).timeout(DEADLINE).send().await?.status())
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
            match self.post(path, body).await {
                Ok(status) if status.is_success() => Ok(()),
                // The api has no such stream, so nobody waits for this.
                Ok(status @ (StatusCode::NOT_FOUND | StatusCode::GONE)) => {
                    tracing::warn!(%status, ?report, "the api does not know the stream of this report");
                    Ok(())
                }
                Ok(status) => Err(NotAcknowledged(format!("{path}: the api answered {status}"))),
                Err(error) => Err(NotAcknowledged(format!("{path}: {}", with_causes(&error)))),
            }
        })
    }
}

const DEADLINE: Duration = Duration::from_secs(5);
