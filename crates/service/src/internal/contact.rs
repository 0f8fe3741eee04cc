//! Whether the api is where the settings say, found out at the start and not at the first publisher.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::sleep;

use super::{InternalListener, Signer, answered_by, refusal};
use crate::http_client::{SignedClient, why_not_sent};

/// Asks the api's internal listener at `url` until it has answered a request of ours, and says once what is in the way and
/// once that it is there. What comes of later requests, their callers say.
///
/// # Errors
/// When the HTTP client cannot be made.
pub async fn until_the_api_is_heard(url: &str, signer: Signer) -> Result<(), reqwest::Error> {
    let http = SignedClient::new(signer)?;
    let mut said = false;
    while let Err(reason) = ask(&http, url).await {
        if std::mem::replace(&mut said, true) {
            tracing::debug!(api = url, reason, "the api cannot be asked");
        } else {
            tracing::warn!(api = url, reason, "the api cannot be asked; trying again");
        }
        sleep(PAUSE).await;
    }
    if said {
        tracing::info!(api = url, "the api is there");
    }
    Ok(())
}

/// Behind the check of signatures there is nothing under this path, and that answer is as good as any.
async fn ask(http: &SignedClient, url: &str) -> Result<(), String> {
    let answer = http.get(url, PATH).timeout(DEADLINE).send().await.map_err(|error| why_not_sent(&error))?;
    let (status, headers) = (answer.status(), answer.headers());
    let taken = answered_by(InternalListener::Api, headers) && status != StatusCode::UNAUTHORIZED;
    if taken { Ok(()) } else { Err(refusal(InternalListener::Api, status, headers)) }
}

const PATH: &str = "/internal";
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::internal::{CallerKey, Verifier, listener_of, require_signature};
    use axum::Router;
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
        for (url, words) in [
            (serve(listener(InternalListener::Api, 2)).await, "does not accept the signature"),
            (
                serve(listener(InternalListener::IngestRouter, 1)).await,
                "found that of `caudal ingest-router`",
            ),
            (serve(Router::new()).await, "another program"),
            ("http://127.0.0.1:9".to_owned(), "nobody answers there"),
        ] {
            let said = ask(&client, &url).await.unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
