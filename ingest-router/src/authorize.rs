//! Asking the api whether a publisher may publish.

use std::time::{Duration, SystemTime};

use caudal_livestream::admission::{AuthorizeRequest, Authorized, Denied};
use caudal_service::internal::{SIGNATURE_HEADER, Signer, refusal};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};

/// The api, as its internal listener answers.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: Client,
    url: String,
    signer: Signer,
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
        caudal_service::install_crypto();
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            // Inside the cluster the api is asked in plain HTTP; the system's certificates are not needed.
            .tls_certs_only([])
            .connect_timeout(ATTEMPT)
            .build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), signer })
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
        let signature = self.signer.sign("POST", PATH, &body, SystemTime::now());
        let request = self
            .http
            .post(format!("{}{PATH}", self.url))
            .header(SIGNATURE_HEADER, signature)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        // The URL is ours, and errors name it; the body, which holds the key, is not in them.
        let mut response = request.send().await.map_err(|error| chain(&error))?;
        let status = response.status();
        let refused = refusal("api", status, response.headers());
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
            if text.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
            }
            text.extend_from_slice(&chunk);
        }
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

/// reqwest says "error sending request" and hides the reason one level down.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

const PATH: &str = "/internal/ingest/authorize";
/// All attempts together: OBS waits 31 s for its answer, people do not.
const DEADLINE: Duration = Duration::from_secs(5);
/// One attempt, so that an api that is being replaced costs one of them.
const ATTEMPT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Titles and ladders are short.
const MAX_ANSWER: usize = 64 * 1024;
