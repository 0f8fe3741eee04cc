//! How one part of an installation asks another one over HTTP.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use thiserror::Error;

use crate::internal::{SIGNATURE_HEADER, Signer};

/// A client for the other parts. How long an answer may take is each request's own affair.
///
/// # Errors
/// When there is no way to resolve names.
pub fn part_client() -> Result<Client, reqwest::Error> {
    crate::install_crypto();
    Client::builder()
        // The parts are beside each other; a proxy of the machine's is for what lies outside.
        .no_proxy()
        // They speak plain HTTP to each other; the system's certificates need not be read.
        .tls_certs_only([])
        // No part redirects: what does is none of ours, and would be sent a signature or a proof.
        .redirect(Policy::none())
        // Requests are short, and somebody waits for each.
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_DEADLINE)
        .pool_idle_timeout(POOL_IDLE)
        .build()
}

/// A client for what is not ours, as a collector of traces: by HTTPS, checked against the system's certificates, or plainly. How long
/// an answer may take is each request's own affair.
///
/// # Errors
/// When there is no way to resolve names, or the system's certificates cannot be read.
pub fn outside_client() -> Result<Client, reqwest::Error> {
    crate::install_crypto();
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_DEADLINE)
        .pool_idle_timeout(POOL_IDLE)
        .build()
}

/// Asks internal listeners, signed as one caller. Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub struct SignedClient {
    http: Client,
    signer: Signer,
}

impl SignedClient {
    /// A client with no open connection.
    ///
    /// # Errors
    /// Those of [`part_client`].
    pub fn new(signer: Signer) -> Result<Self, reqwest::Error> {
        Ok(Self { http: part_client()?, signer })
    }

    /// `GET` of `path` (and query) at the listener whose base URL is `base`. To be sent at once: the signature is valid
    /// for [`MAX_SKEW`](crate::internal::MAX_SKEW).
    pub fn get(&self, base: &str, path: &str) -> RequestBuilder {
        let signature = self.signer.sign("GET", path, b"", SystemTime::now());
        self.http.get(url(base, path)).header(SIGNATURE_HEADER, signature)
    }

    /// `POST` of `json` in the same way.
    pub fn post(&self, base: &str, path: &str, json: Vec<u8>) -> RequestBuilder {
        let signature = self.signer.sign("POST", path, &json, SystemTime::now());
        let request = self.http.post(url(base, path)).header(SIGNATURE_HEADER, signature);
        request.header(CONTENT_TYPE, "application/json").body(json)
    }
}

/// Why an answer was not read to its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It is longer than what was asked for can be.
    #[error("an answer of more than {0} bytes")]
    TooLong(usize),
    /// The connection broke.
    #[error("{}", why_cut_off(.0))]
    Broken(#[from] reqwest::Error),
}

/// The whole body of an answer that has at most `limit` bytes.
///
/// # Errors
/// [`BodyError`].
pub async fn body_within(mut response: Response, limit: usize) -> Result<Bytes, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(BodyError::TooLong(limit));
    }
    let mut whole = BytesMut::with_capacity(announced);
    while let Some(chunk) = response.chunk().await? {
        if whole.len().saturating_add(chunk.len()) > limit {
            return Err(BodyError::TooLong(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// An error and what caused it, in a line: reqwest says "error sending request" and hides the reason one level down.
pub fn with_causes(error: &dyn Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Why a request got no answer. Where nobody listens, that is all there is to say: the address is known to whoever asks. A
/// name that leads nowhere fails in connecting too, and is another matter.
pub fn why_not_sent(error: &reqwest::Error) -> String {
    let nobody = causes(error).find_map(|cause| {
        let kind = cause.downcast_ref::<io::Error>()?.kind();
        NOBODY.contains(&kind).then(|| format!("nobody answers there: {cause}"))
    });
    nobody.filter(|_| error.is_connect()).unwrap_or_else(|| with_causes(error))
}

/// Why an answer ended in its middle. reqwest calls this an error in decoding the body, which it is not.
pub fn why_cut_off(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the answer did not end in time".to_owned();
    }
    let root = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    format!("the connection was lost in the middle of the answer: {root}")
}

fn causes<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(error.source(), |cause| (*cause).source())
}

fn url(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

/// How connecting fails where nobody listens.
const NOBODY: [io::ErrorKind; 4] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::TimedOut,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
];
/// Another part is on this machine or in the next rack; what takes longer is not there.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// Our listeners close idle connections after 20 s ([`crate::http::HttpLimits::header_deadline`]); reusing one at that
/// moment would fail a request.
const POOL_IDLE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use futures::stream;
    use std::convert::Infallible;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http::{HttpLimits, HttpServer};
    use crate::internal::CallerKey;

    async fn answers_of(router: Router) -> impl AsyncFn(&str) -> Response {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(
            HttpServer::new(listener, HttpLimits::default()).serve(router, CancellationToken::new()),
        );
        let signer = Signer::new("edge", CallerKey::new([7; 32]));
        let client = SignedClient::new(signer).unwrap();
        async move |path: &str| client.get(&base, path).send().await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_bound_whether_it_announces_its_length_or_not() {
        let pieces = || async {
            let piece = Ok::<_, Infallible>(Bytes::from_static(b"12345"));
            Body::from_stream(stream::iter([piece.clone(), piece]))
        };
        let router =
            Router::new().route("/whole", get(|| async { "1234512345" })).route("/pieces", get(pieces));
        let ask = answers_of(router).await;
        for path in ["/whole", "/pieces"] {
            assert_eq!(body_within(ask(path).await, 10).await.unwrap(), "1234512345", "{path}");
            let refused = body_within(ask(path).await, 9).await.unwrap_err();
            assert_eq!(refused.to_string(), "an answer of more than 9 bytes", "{path}");
        }
    }

    #[tokio::test]
    async fn nobody_answers_where_nobody_listens_and_a_name_that_leads_nowhere_is_another_matter() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let why =
            async |url: String| why_not_sent(&part_client().unwrap().get(url).send().await.unwrap_err());
        let refused = why(format!("http://{nobody}/")).await;
        assert!(refused.starts_with("nobody answers there: Connection refused"), "{refused}");
        // No name has a part of 64 letters: no name server is asked.
        let unnamed = why(format!("http://{}/", "x".repeat(64))).await;
        assert!(unnamed.contains("lookup") && !unnamed.contains("nobody answers"), "{unnamed}");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = axum::response::Redirect::temporary("/whole");
        let ask = answers_of(Router::new().route("/", get(move || async { elsewhere }))).await;
        assert_eq!(ask("/").await.status(), 307);
    }
}
