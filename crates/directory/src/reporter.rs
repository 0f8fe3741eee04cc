//! Telling the api over HTTP what became of a stream.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use caudal_controller::{Api, NotAcknowledged};
use caudal_livestream::StreamId;
use caudal_livestream::lifecycle::ReportOrder;
use caudal_livestream::report::{Done, Published};
use caudal_service::http_client::{SignedClient, why_not_sent};
use caudal_service::internal::{InternalListener, Signer, answered_by, refusal};
use futures::future::BoxFuture;
use reqwest::StatusCode;

/// Posts reports to the api's internal listener.
#[derive(Debug)]
pub struct Reporter {
    http: SignedClient,
    base: String,
    // Held for a look and a change, never across an await.
    said: Mutex<Said>,
}

impl Reporter {
    /// To the internal listener at `base`, as the caller that `signer` is.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: String, signer: Signer) -> Result<Self, reqwest::Error> {
        Ok(Self { http: SignedClient::new(signer)?, base, said: Mutex::default() })
    }

    async fn tell(&self, report: &ReportOrder) -> Result<(), Untold> {
        let (path, body) = match report {
            ReportOrder::Published(body) => ("/internal/ingest/published", serde_json::to_vec(body)),
            ReportOrder::Done(body) => ("/internal/ingest/done", serde_json::to_vec(body)),
        };
        // Plain structs of numbers and words: this cannot fail.
        let body = body.unwrap_or_default();
        let sent = self.http.post(&self.base, path, body).timeout(DEADLINE).send().await;
        let answer = sent.map_err(|error| Untold::Away(why_not_sent(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let reason = refusal(API, status, answer.headers());
        // No status lets go of a report: the api takes what it is told of a stream that it does not know, too, so that 404
        // is another release that lacks the path.
        let takes_none = status == StatusCode::UNAUTHORIZED
            || status.is_server_error()
            || !answered_by(API, answer.headers());
        Err(if takes_none { Untold::Away(reason) } else { Untold::Refused(reason) })
    }

    fn say(&self, stream: StreamId, told: &Result<(), Untold>) {
        let news = self.said.lock().unwrap_or_else(PoisonError::into_inner).hear(stream, told);
        let api = &self.base;
        match (news, told) {
            (Some(News::Away), Err(Untold::Away(reason))) => {
                tracing::warn!(%api, reason, "the api does not take what becomes of the streams; trying again");
            }
            (Some(News::Refused), Err(Untold::Refused(reason))) => {
                tracing::warn!(%api, %stream, reason, "the api does not take what became of this stream; trying again");
            }
            (Some(News::Back), _) => tracing::info!(%api, "the api takes what becomes of the streams again"),
            _ => {}
        }
    }
}

impl Api for Reporter {
    fn report<'a>(&'a self, report: &'a ReportOrder) -> BoxFuture<'a, Result<(), NotAcknowledged>> {
        Box::pin(async move {
            let told = self.tell(report).await;
            let stream = match report {
                ReportOrder::Published(Published { stream, .. }) | ReportOrder::Done(Done { stream, .. }) => {
                    *stream
                }
            };
            self.say(stream, &told);
            told.map_err(|(Untold::Away(reason) | Untold::Refused(reason))| NotAcknowledged(reason))
        })
    }
}

/// Why a report was not taken.
#[derive(Debug)]
enum Untold {
    /// No report would have been.
    Away(String),
    /// The api answered, and does not take this one.
    Refused(String),
}

/// What the log has of reports that were not taken. Each is told again for as long as it takes, so that only the first time is
/// news.
#[derive(Debug, Default)]
struct Said {
    away: bool,
    /// Streams of which a report was refused, until one is taken: as many as there are with something to report.
    refused: HashSet<StreamId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Away,
    Back,
    Refused,
}

impl Said {
    fn hear(&mut self, stream: StreamId, told: &Result<(), Untold>) -> Option<News> {
        match told {
            Ok(()) => {
                self.refused.remove(&stream);
                std::mem::take(&mut self.away).then_some(News::Back)
            }
            Err(Untold::Away(_)) => (!std::mem::replace(&mut self.away, true)).then_some(News::Away),
            Err(Untold::Refused(_)) => self.refused.insert(stream).then_some(News::Refused),
        }
    }
}

/// What is told.
const API: InternalListener = InternalListener::Api;
const DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use axum::Router;
    use caudal_livestream::UnixMillis;
    use caudal_service::internal::{CallerKey, listener_of};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_refused_report_is_said_once_with_its_stream_and_is_not_the_api_being_away() {
        let (a, b) = (StreamId::generate(), StreamId::generate());
        let (taken, away) = (Ok(()), Err(Untold::Away(String::new())));
        let refused = Err(Untold::Refused(String::new()));
        let mut said = Said::default();
        for (step, (stream, told, news)) in [
            (a, &refused, Some(News::Refused)),
            (b, &taken, None),
            (a, &refused, None),
            (b, &refused, Some(News::Refused)),
            (a, &away, Some(News::Away)),
            (b, &away, None),
            (b, &refused, None),
            (b, &taken, Some(News::Back)),
            (a, &refused, None),
            (a, &taken, None),
            (a, &refused, Some(News::Refused)),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(said.hear(stream, told), news, "step {step}");
        }
    }

    #[tokio::test]
    async fn only_success_acknowledges_a_report_and_only_the_apis_own_refusals_are_about_one_stream() {
        let (elsewhere, api) = (InternalListener::Controller, InternalListener::Api);
        for (status, by, expected) in [
            (StatusCode::NO_CONTENT, Some(api), "taken"),
            (StatusCode::NOT_FOUND, Some(api), "refused"),
            (StatusCode::GONE, Some(api), "refused"),
            (StatusCode::UNPROCESSABLE_ENTITY, Some(api), "refused"),
            (StatusCode::UNAUTHORIZED, Some(api), "away"),
            (StatusCode::SERVICE_UNAVAILABLE, Some(api), "away"),
            (StatusCode::NOT_FOUND, Some(elsewhere), "away"),
            (StatusCode::NOT_FOUND, None, "away"),
        ] {
            let routes = Router::new().fallback(move || async move { status });
            let routes = by.map_or(routes.clone(), |by| listener_of(by, routes));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
            let reporter = Reporter::new(base, Signer::new("controller", CallerKey::new([7; 32]))).unwrap();
            let told = match reporter.tell(&report()).await {
                Ok(()) => "taken",
                Err(Untold::Away(_)) => "away",
                Err(Untold::Refused(_)) => "refused",
            };
            assert_eq!(told, expected, "{status} of {by:?}");
            serving.abort();
        }
    }

    fn report() -> ReportOrder {
        ReportOrder::Published(Published { stream: StreamId::generate(), started_at: UnixMillis(1) })
    }
}
