//! `If-None-Match`: whether the reader has just this already.

use axum::http::{HeaderMap, header};

/// Whether one of the tags that the reader has is this.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).any(|known| known.trim() == etag || known.trim() == "*")
}
