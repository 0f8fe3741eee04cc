//! Whether the api is where the settings say, found out at the start and not at the first publisher.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{InternalListener, Signer, answered_by, refusal, refuses_signature};
use crate::http_client::{SignedClient, why_not_sent};

/// Asks the api's internal listener at `url` until it has answered a request of ours, and says once what is in the way, again
/// when something else is, and once that it is there. What comes of later requests, their callers say.
///
/// Roles start together, and an api that is not there yet is no reason to worry: only one that stays away is.
///
/// # Errors
/// When the HTTP client cannot be made.
pub async fn until_the_api_is_heard(url: &str, signer: Signer) -> Result<(), reqwest::Error> {
    let http = SignedClient::new(signer)?;
    let (began, mut said) = (Instant::now(), None);
    while let Err((obstacle, reason)) = ask(&http, url).await {
        let obstacle = obstacle.after(began.elapsed());
        let is_news = said.replace(obstacle) != Some(obstacle);
        match obstacle {
            _ if !is_news => tracing::debug!(api = url, reason, "the api cannot be asked"),
            Obstacle::NotYet => {
                tracing::info!(api = url, reason, "the api does not answer yet; waiting for it");
            }
            Obstacle::Signature => {
                tracing::warn!(api = url, reason, "the api refuses this role's signature; trying again");
            }
            Obstacle::Silence | Obstacle::Answer => {
                tracing::warn!(api = url, reason, "the api cannot be asked; trying again");
            }
        }
        sleep(PAUSE).await;
    }
    if said.is_some() {
        tracing::info!(api = url, "the api is there");
    }
    Ok(())
}

/// What kind of thing is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// Nobody answers, right behind a start.
    NotYet,
    /// Nobody answers.
    Silence,
    /// The api does not accept the signature.
    Signature,
    /// Something else answers.
    Answer,
}

impl Obstacle {
    /// What it is at that time behind the start.
    fn after(self, start: Duration) -> Self {
        if self == Self::Silence && start < STARTING { Self::NotYet } else { self }
    }
}

/// Behind the check of signatures there is nothing under this path, and that answer is as good as any. An error comes with
/// its words.
async fn ask(http: &SignedClient, url: &str) -> Result<(), (Obstacle, String)> {
    let sent = http.get(url, PATH).timeout(DEADLINE).send().await;
    let answer = sent.map_err(|error| (Obstacle::Silence, why_not_sent(&error)))?;
    let (status, headers) = (answer.status(), answer.headers());
    let reason = || refusal(InternalListener::Api, status, headers);
    if refuses_signature(InternalListener::Api, status, headers) {
        Err((Obstacle::Signature, reason()))
    } else if answered_by(InternalListener::Api, headers) {
        Ok(())
    } else {
        Err((Obstacle::Answer, reason()))
    }
}

const PATH: &str = "/internal";
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
/// Roles start together. Who does not answer for so long behind a start is on its way: an api that makes its database takes
/// ten seconds.
pub const STARTING: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::internal::{CallerKey, Verifier, listener_of, require_signature};
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use tokio::net::TcpListener;

    use super::*;

    async fn serve(routes: Router) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        format!("http://{address}")
    }

    fn listener(of: InternalListener, key: u8) -> Router {
        let verifier = Arc::new(Verifier::new().allow("controller", CallerKey::new([key; 32])));
        let routes = Router::new().fallback(|| async { StatusCode::NOT_FOUND });
        listener_of(of, routes.layer(from_fn_with_state(verifier, require_signature)))
    }

    #[tokio::test]
    async fn a_wrong_address_and_a_wrong_secret_are_told_apart_from_an_api_that_is_there() {
        let client = SignedClient::new(Signer::new("controller", CallerKey::new([1; 32]))).unwrap();
        let there = serve(listener(InternalListener::Api, 1)).await;
        assert_eq!(ask(&client, &there).await, Ok(()));
        for (url, obstacle, words) in [
            (
                serve(listener(InternalListener::Api, 2)).await,
                Obstacle::Signature,
                "does not accept the signature",
            ),
            (
                serve(listener(InternalListener::IngestRouter, 2)).await,
                Obstacle::Answer,
                "found that of `caudal ingest-router`",
            ),
            (serve(Router::new()).await, Obstacle::Answer, "another program"),
            ("http://127.0.0.1:9".to_owned(), Obstacle::Silence, "nobody answers there"),
        ] {
            let (found, said) = ask(&client, &url).await.unwrap_err();
            assert!(found == obstacle && said.contains(words), "{found:?}: {said}");
        }
    }

    #[test]
    fn an_api_that_does_not_answer_is_a_reason_to_worry_only_when_it_stays_away() {
        assert_eq!(Obstacle::Silence.after(Duration::from_secs(29)), Obstacle::NotYet);
        assert_eq!(Obstacle::Silence.after(Duration::from_secs(30)), Obstacle::Silence);
        for wrong in [Obstacle::Signature, Obstacle::Answer] {
            assert_eq!(wrong.after(Duration::ZERO), wrong);
        }
    }
}
