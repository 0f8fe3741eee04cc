//! Asking the api whether a publisher may publish.

use std::time::Duration;

use caudal_livestream::admission::{AuthorizeRequest, Authorized, Denied};
use caudal_service::http_client::{SignedClient, body_within, why_not_sent};
use caudal_service::internal::{InternalListener, Signer, answered_by, refusal};
use reqwest::StatusCode;
use tokio::time::{Instant, sleep, timeout_at};

/// The api, as its internal listener answers.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: SignedClient,
    url: String,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Authorized(Box<Authorized>),
    Denied(Denied),
    /// It did not say; why, for the log.
    Unavailable(String),
}

impl Api {
    /// The api at the base URL `url`.
    pub(crate) fn new(url: &str, signer: Signer) -> Result<Self, reqwest::Error> {
        Ok(Self { http: SignedClient::new(signer)?, url: url.to_owned() })
    }

    /// Asks until there is an answer, for [`DEADLINE`] at most. The question is idempotent, so it may be asked again
    /// when nobody knows whether it arrived.
    pub(crate) async fn authorize(&self, request: &AuthorizeRequest) -> Answer {
        let deadline = Instant::now() + DEADLINE;
        let body = match serde_json::to_vec(request) {
            Ok(body) => body,
            Err(error) => return Answer::Unavailable(error.to_string()),
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let attempt_until = deadline.min(Instant::now() + ATTEMPT);
            let problem = match timeout_at(attempt_until, self.ask(body.clone())).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(problem)) => problem,
                Err(_) => "no answer in time".to_owned(),
            };
            if Instant::now() + pause >= deadline {
                return Answer::Unavailable(problem);
            }
            tracing::debug!(problem, "the api did not answer; asking again");
            sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// One attempt; an error is worth another one.
    async fn ask(&self, body: Vec<u8>) -> Result<Answer, String> {
        let request = self.http.post(&self.url, PATH, body);
        // The URL is ours, and errors name it; the body, which holds the key, is not in them.
        let response = request.send().await.map_err(|error| why_not_sent(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let refused = || refusal(API, status, &headers);
        // A web server answers anything with its pages.
        let unreadable = |words: String| if answered_by(API, &headers) { words } else { refused() };
        let text = body_within(response, MAX_ANSWER).await.map_err(|error| unreadable(error.to_string()))?;
        match status {
            StatusCode::OK => Ok(match serde_json::from_slice(&text) {
                Ok(authorized) => Answer::Authorized(Box::new(authorized)),
                Err(error) => {
                    Answer::Unavailable(unreadable(format!("an answer that cannot be read: {error}")))
                }
            }),
            StatusCode::FORBIDDEN => Ok(match serde_json::from_slice(&text) {
                Ok(denied) => Answer::Denied(denied),
                Err(error) => {
                    Answer::Unavailable(unreadable(format!("a refusal that cannot be read: {error}")))
                }
            }),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Err(refused()),
            // Asking again would change nothing: a wrong secret, a wrong address, or another version.
            _ => Ok(Answer::Unavailable(refused())),
        }
    }
}

/// What is asked.
const API: InternalListener = InternalListener::Api;
const PATH: &str = "/internal/ingest/authorize";
/// All attempts together: OBS waits 31 s for its answer, people do not.
const DEADLINE: Duration = Duration::from_secs(5);
/// One attempt, so that an api that is being replaced costs one of them.
const ATTEMPT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Titles and ladders are short.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use axum::Router;
    use caudal_livestream::SessionId;
    use caudal_livestream::admission::StreamKey;
    use caudal_service::internal::{CallerKey, listener_of};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn pages_at_the_apis_address_are_told_from_an_answer_of_the_api_that_cannot_be_read() {
        for status in [StatusCode::OK, StatusCode::FORBIDDEN] {
            let pages = Router::new().fallback(move || async move { (status, "<!doctype html>") });
            for (routes, expected) in [
                (pages.clone(), "not as the internal listener of `caudal api` does"),
                (
                    listener_of(InternalListener::Controller, pages.clone()),
                    "found that of `caudal controller`",
                ),
                (listener_of(API, pages), "that cannot be read: expected value"),
            ] {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("http://{}", listener.local_addr().unwrap());
                let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
                let api = Api::new(&url, Signer::new("ingest-router", CallerKey::new([7; 32]))).unwrap();
                let Answer::Unavailable(reason) = api.authorize(&request()).await else { unreachable!() };
                assert!(reason.contains(expected), "{status}: {reason}");
                serving.abort();
            }
        }
    }

    fn request() -> AuthorizeRequest {
        AuthorizeRequest {
            key: StreamKey::new("live_key"),
            app: "live".to_owned(),
            remote: None,
            session: SessionId::generate(),
            ended: None,
        }
    }
}
