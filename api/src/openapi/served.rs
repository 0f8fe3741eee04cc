//! The document and its page, made once at the start, as they are sent.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::page;
use crate::known_version::is_known;

/// What the api says of itself.
pub(crate) struct Documentation {
    pub(crate) document: Served,
    pub(crate) page: Served,
    /// `Content-Security-Policy` of the page: it has styles, and nothing else.
    pub(crate) policy: HeaderValue,
}

/// One text that stays the same until the next start.
pub(crate) struct Served {
    kind: &'static str,
    text: Bytes,
    etag: String,
}

impl Documentation {
    /// `url` is the api's own, for examples.
    pub(crate) fn new(url: &str) -> Self {
        let document = super::document();
        let page = page::render(&document, url);
        let styles = STANDARD.encode(Sha256::digest(page::STYLES));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{styles}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self {
            document: Served::new("application/json", document.to_string()),
            page: Served::new("text/html; charset=utf-8", page),
            // Base64 has nothing that a header cannot have.
            policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
        }
    }
}

impl Served {
    fn new(kind: &'static str, text: String) -> Self {
        let digest = Sha256::digest(&text);
        let etag = format!("\"{}\"", hex::encode(digest.get(..16).unwrap_or_default()));
        Self { kind, text: text.into(), etag }
    }

    /// `304` when the reader has it.
    pub(crate) fn unless_known(&self, headers: &HeaderMap) -> Response {
        let about = [(header::ETAG, self.etag.as_str()), (header::CACHE_CONTROL, "public, no-cache")];
        if is_known(headers, &self.etag) {
            return (StatusCode::NOT_MODIFIED, about).into_response();
        }
        (about, [(header::CONTENT_TYPE, self.kind)], self.text.clone()).into_response()
    }
}
