//! Asking the api whether a publisher may publish.

use std::time::Duration;

use caudal_livestream::admission::{AuthorizeRequest, Authorized, Denied};
use caudal_service::http_client::{SignedClient, body_within, with_causes};
use caudal_service::internal::{Signer, refusal};
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
        let response = request.send().await.map_err(|error| with_causes(&error))?;
        let status = response.status();
        let refused = refusal("api", status, response.headers());
        let text = body_within(response, MAX_ANSWER).await.map_err(|error| error.to_string())?;
        match status {
            StatusCode::OK => match serde_json::from_slice(&text) {
                Ok(authorized) => Ok(Answer::Authorized(Box::new(authorized))),
                Err(error) => Ok(Answer::Unavailable(format!("an answer that cannot be read: {error}"))),
            },
            StatusCode::FORBIDDEN => match serde_json::from_slice(&text) {
                Ok(denied) => Ok(Answer::Denied(denied)),
                Err(error) => Ok(Answer::Unavailable(format!("a refusal that cannot be read: {error}"))),
            },
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Err(refused),
            // Asking again would change nothing: a wrong secret, a wrong address, or another version.
            _ => Ok(Answer::Unavailable(refused)),
        }
    }
}

const PATH: &str = "/internal/ingest/authorize";
/// All attempts together: OBS waits 31 s for its answer, people do not.
const DEADLINE: Duration = Duration::from_secs(5);
/// One attempt, so that an api that is being replaced costs one of them.
const ATTEMPT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Titles and ladders are short.
const MAX_ANSWER: usize = 64 * 1024;
