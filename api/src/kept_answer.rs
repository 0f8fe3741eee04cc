//! An answer that is kept for others who ask the same, and what makes it untrue.

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::Error;

#[derive(Clone)]
pub(crate) struct KeptAnswer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl KeptAnswer {
    /// The response as it was, where it is not to be kept.
    pub(crate) async fn of(response: Response) -> Result<Self, Response> {
        let is_small = response.body().size_hint().exact().is_some_and(|bytes| bytes <= LARGEST);
        let is_for_one = response.headers().contains_key(header::SET_COOKIE);
        if response.status() != StatusCode::OK || !is_small || is_for_one {
            return Err(response);
        }
        let (parts, body) = response.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(body) => Ok(Self { headers: parts.headers, body }),
            Err(_) => {
                Err(Error::Internal("an answer that was ready could not be read".to_owned()).into_response())
            }
        }
    }
}

impl IntoResponse for KeptAnswer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.headers_mut() = self.headers;
        response
    }
}

pub(crate) fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str)
}

/// The path below `/api` with its query, where it is short enough to be a name for the answer.
pub(crate) fn asked(request: &Request) -> Option<String> {
    let asked = request.uri().path_and_query()?.as_str();
    (asked.len() <= LONGEST).then(|| asked.to_owned())
}

/// Whether a request that was answered so may have changed what others are shown.
pub(crate) fn may_have_changed(method: &Method, route: &str, status: StatusCode) -> bool {
    let is_refused = status.is_client_error()
        // Letting a publisher in may end another broadcast and be refused all the same.
        && !route.starts_with("/internal/");
    // What failed inside may have happened.
    !method.is_safe() && !is_refused && !SHOWN_NOWHERE.contains(&route)
}

/// What happens all the time and changes nothing that is kept.
const SHOWN_NOWHERE: &[&str] = &[
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/auth/logout",
    "/api/streams/{id}/watching",
    "/api/chat/{id}/messages",
    "/api/notifications",
    "/api/notifications/{id}",
];
/// Bytes: a page further on has a cursor, which few ask for.
const LONGEST: usize = 512;
/// Bytes: a full page of streams has some 60 KB.
pub(crate) const LARGEST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_have_changed_something_is_known() {
        for (method, route, status, changes) in [
            (Method::PATCH, "/api/streams/{id}", 200, true),
            (Method::PATCH, "/api/streams/{id}", 412, false),
            (Method::DELETE, "/api/users/me", 204, true),
            (Method::DELETE, "/api/users/me", 503, true),
            (Method::GET, "/api/streams", 200, false),
            (Method::POST, "/api/auth/login", 200, false),
            (Method::POST, "/api/chat/{id}/messages", 201, false),
            (Method::POST, "/internal/ingest/authorize", 403, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(may_have_changed(&method, route, status), changes, "{method} {route} {status}");
        }
    }
}
