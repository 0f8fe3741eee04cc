//! What browsers are told not to do.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::config::PublicUrls;
use crate::openapi::Documentation;
use crate::router::{API, PICTURES};
use crate::start_error::StartError;

/// The headers of every answer; a policy for the pages' addresses, one for the api's, and one for its documentation.
pub(crate) struct SecurityHeaders {
    pages: HeaderValue,
    documentation: HeaderValue,
    strict_transport: bool,
}

impl SecurityHeaders {
    pub(crate) fn new(urls: &PublicUrls, documentation: &Documentation) -> Result<Self, StartError> {
        // The origin only: a CSP source with a path would have to match it exactly.
        let hls = origin(&urls.hls);
        // Older browsers do not take 'self' for sockets too.
        let sockets = origin(&urls.api).replacen("http", "ws", 1);
        // hls.js plays a blob, and its segments come from the edge. It would work in a worker made from a blob, but our
        // player asks it not to (`enableWorker`), so that no script can be made from one. Svelte sets single style
        // attributes (`style:width`), which is as far as inline styles go.
        let pages = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
             img-src 'self' data: {hls}; font-src 'self'; connect-src 'self' {sockets} {hls}; media-src 'self' blob: {hls}; \
             worker-src 'none'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        );
        let pages = HeaderValue::try_from(pages).map_err(|_| StartError::PublicUrl(urls.hls.clone()))?;
        Ok(Self { pages, documentation: documentation.policy.clone(), strict_transport: urls.secure() })
    }
}

/// Middleware, around everything that answers.
///
/// The address decides and never the answer: a browser applies the policy of a `304`, which has no type of its own, to
/// the page that it kept.
pub(crate) async fn add(State(ours): State<Arc<SecurityHeaders>>, request: Request, next: Next) -> Response {
    let policy = match request.uri().path() {
        DOCUMENTATION => ours.documentation.clone(),
        path if of_the_api(path) => HeaderValue::from_static(NOTHING),
        path if path.starts_with(PICTURES) => HeaderValue::from_static(STRANGERS_FILE),
        _ => ours.pages.clone(),
    };
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if ours.strict_transport {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

fn of_the_api(path: &str) -> bool {
    path.strip_prefix(API).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    url.get(..end).unwrap_or(url)
}

/// The one address of the api that is a page.
const DOCUMENTATION: &str = "/api/docs";
/// JSON is not a page.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// Made anew as a picture; were it ever anything else, it could do nothing.
const STRANGERS_FILE: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_edges_origin() {
        assert_eq!(origin("https://media.example/hls"), "https://media.example");
        assert_eq!(origin("http://localhost:8000"), "http://localhost:8000");
    }
}
