//! What browsers are told not to do.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::config::PublicUrls;
use crate::error::StartError;

/// The headers of every answer; two policies, one for pages and one for everything else.
pub(crate) struct SecurityHeaders {
    pages: HeaderValue,
    strict_transport: bool,
}

impl SecurityHeaders {
    pub(crate) fn new(urls: &PublicUrls) -> Result<Self, StartError> {
        // The origin only: a CSP source with a path would have to match it exactly.
        let hls = origin(&urls.hls);
        // hls.js works in a worker made from a blob and plays a blob; its segments come from the edge. Svelte sets
        // single style attributes (`style:width`), which is as far as inline styles go.
        let pages = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
             img-src 'self' data: {hls}; font-src 'self'; connect-src 'self' {hls}; media-src 'self' blob: {hls}; \
             worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        );
        let pages = HeaderValue::try_from(pages).map_err(|_| StartError::PublicUrl(urls.hls.clone()))?;
        Ok(Self { pages, strict_transport: urls.secure() })
    }
}

/// Middleware.
pub(crate) async fn add(State(ours): State<Arc<SecurityHeaders>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let html =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = if html { ours.pages.clone() } else { HeaderValue::from_static(NOTHING) };
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

fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    url.get(..end).unwrap_or(url)
}

/// JSON is not a page; neither is a script or picture that somebody opens by itself.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_edges_origin() {
        assert_eq!(origin("https://media.example/hls"), "https://media.example");
        assert_eq!(origin("http://localhost:8000"), "http://localhost:8000");
    }
}
