//! How an answer looks: its headers, and what a player is told when there is none.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, RANGE,
    RETRY_AFTER, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use thiserror::Error;

use crate::rendered::Rendered;
use crate::request::{BadDirectives, ByteRange};

/// How long caches may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// A year: the name will never mean anything else.
    Immutable,
    /// So many seconds.
    Seconds(u32),
    /// A second, and only caches that several viewers share: hls.js may ask for the same position again, because it
    /// lost its place, and from its browser's own memory it would go through the past once more.
    Shared,
}

impl Cache {
    pub(crate) fn header(self) -> HeaderValue {
        match self {
            Self::Immutable => HeaderValue::from_static("public, max-age=31536000, immutable"),
            Self::Shared => HeaderValue::from_static("public, max-age=0, s-maxage=1"),
            Self::Seconds(1) => HeaderValue::from_static("public, max-age=1"),
            Self::Seconds(seconds) => HeaderValue::from_str(&format!("public, max-age={seconds}"))
                .unwrap_or(HeaderValue::from_static("public, max-age=1")),
        }
    }
}

/// Why there is nothing to send.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not here, or not for this viewer.
    #[error("not found")]
    NotFound,
    /// The player must not ask that.
    #[error(transparent)]
    Directives(#[from] BadDirectives),
    /// The player asks for what is too far ahead.
    #[error("_HLS_msn or _HLS_part is too far ahead of the playlist")]
    TooFarAhead,
    /// It did not come in time.
    #[error("nothing new came in time")]
    Late,
    /// Too many wait already, or the edge is stopping.
    #[error("too busy")]
    Busy,
    /// Storage or worker failed to say.
    #[error("the media cannot be read now")]
    Unavailable,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Directives(_) | Self::TooFarAhead => StatusCode::BAD_REQUEST,
            Self::Late | Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = (status, format!("{self}\n")).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        } else {
            headers.insert(CACHE_CONTROL, Cache::Seconds(1).header());
        }
        response
    }
}

/// A playlist or manifest, compressed if the player takes that.
pub(crate) fn text(
    rendered: &Rendered,
    content_type: &'static str,
    cache: Cache,
    asked: &HeaderMap,
) -> Response {
    let gzip = asked.get(ACCEPT_ENCODING).is_some_and(accepts_gzip);
    let body = if gzip { rendered.gzip() } else { rendered.plain.clone() };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, cache.header());
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn accepts_gzip(header: &HeaderValue) -> bool {
    header.to_str().is_ok_and(|list| {
        list.split(',').any(|coding| {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
            matches!(name.trim(), "gzip" | "*")
                && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
    })
}

/// Media as one piece. What is immutable may be asked for in ranges.
pub(crate) fn media(data: Bytes, content_type: &'static str, cache: Cache, asked: &HeaderMap) -> Response {
    let length = data.len();
    let range = match (cache, asked.get(RANGE).and_then(|range| range.to_str().ok())) {
        (Cache::Immutable, Some(range)) => ByteRange::parse(range, length),
        _ => ByteRange::Whole,
    };
    let mut response = match range {
        ByteRange::Whole => Response::new(Body::from(data)),
        ByteRange::Slice(from, to) => {
            let mut response = Response::new(Body::from(data.slice(from..to)));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set_range(&mut response, &format!("bytes {from}-{}/{length}", to.saturating_sub(1)));
            response
        }
        ByteRange::Unsatisfiable => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set_range(&mut response, &format!("bytes */{length}"));
            return response;
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, cache.header());
    if cache == Cache::Immutable {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    response
}

fn set_range(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_for_those_who_take_it() {
        for (header, takes) in [
            ("gzip", true),
            ("br, gzip;q=0.8", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
        ] {
            assert_eq!(accepts_gzip(&HeaderValue::from_static(header)), takes, "{header}");
        }
    }
}
