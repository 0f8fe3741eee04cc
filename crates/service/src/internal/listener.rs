//! Which role an internal listener is of. Every answer says it, refusals too: an address that leads to another role, or to
//! no part of Caudal at all, must not look like a wrong secret.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::header::DATE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use chrono::{DateTime, Utc};

use super::MAX_SKEW;

/// The internal listeners, by their roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalListener {
    /// That of `caudal api`.
    Api,
    /// That of `caudal controller`.
    Controller,
    /// That of `caudal ingest-router`.
    IngestRouter,
}

impl InternalListener {
    const ALL: [Self; 3] = [Self::Api, Self::Controller, Self::IngestRouter];

    fn role(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Controller => "controller",
            Self::IngestRouter => "ingest-router",
        }
    }

    /// A stranger's header may hold anything: only names of roles are shown.
    fn named_in(headers: &HeaderMap) -> Option<Self> {
        let role = headers.get(ROLE_HEADER)?.to_str().ok()?;
        Self::ALL.into_iter().find(|listener| listener.role() == role)
    }
}

/// `routes` of `listener`, which say in every answer whose it is.
pub fn listener_of(listener: InternalListener, routes: Router) -> Router {
    routes.layer(map_response(move |mut answer: Response| async move {
        answer.headers_mut().insert(ROLE_HEADER, HeaderValue::from_static(listener.role()));
        answer
    }))
}

/// Whether the answer with these headers is that listener's.
pub fn answered_by(listener: InternalListener, headers: &HeaderMap) -> bool {
    InternalListener::named_in(headers) == Some(listener)
}

/// Whether that listener has refused a request because of its signature.
pub fn refuses_signature(listener: InternalListener, status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::UNAUTHORIZED && answered_by(listener, headers)
}

/// Why a signed request to `expected` was not taken, in words for whoever gave its address: "it" is what answered.
pub fn refusal(expected: InternalListener, status: StatusCode, headers: &HeaderMap) -> String {
    let role = expected.role();
    match InternalListener::named_in(headers) {
        Some(found) if found != expected => format!(
            "it is the internal listener of another role: expected that of `caudal {role}`, found that of `caudal {}`",
            found.role()
        ),
        Some(_) if status == StatusCode::UNAUTHORIZED => match clocks_apart(headers, SystemTime::now()) {
            Some(apart) if apart > MAX_SKEW => format!(
                "it does not accept the signature, because its clock and this one are {} s apart: {} s are let pass",
                apart.as_secs(),
                MAX_SKEW.as_secs()
            ),
            _ => "it does not accept the signature: CAUDAL_SECRET or CAUDAL_KEYS is another one there"
                .to_owned(),
        },
        Some(_) => format!("it answered {status}"),
        None => {
            // Releases before this header checked signatures too.
            let older = if status == StatusCode::UNAUTHORIZED {
                ", or an older Caudal with another CAUDAL_SECRET"
            } else {
                ""
            };
            format!(
                "it answered {status}, and not as the internal listener of `caudal {role}` does: another program, or another \
                 port of Caudal's, may be there{older}"
            )
        }
    }
}

/// How far the clock of whoever answered is from `now`, to a second.
fn clocks_apart(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let theirs = DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?).ok()?;
    let apart = theirs.timestamp().abs_diff(DateTime::<Utc>::from(now).timestamp());
    Some(Duration::from_secs(apart))
}

const ROLE_HEADER: HeaderName = HeaderName::from_static("caudal-role");

#[cfg(test)]
mod tests {
    use super::*;

    fn from(role: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ROLE_HEADER, HeaderValue::from_static(role))])
    }

    #[test]
    fn a_refusal_tells_a_wrong_secret_from_a_wrong_address() {
        for (headers, status, words) in [
            (
                from("controller"),
                StatusCode::UNAUTHORIZED,
                "CAUDAL_SECRET or CAUDAL_KEYS is another one there",
            ),
            (from("controller"), StatusCode::NOT_FOUND, "it answered 404"),
            (from("api"), StatusCode::UNAUTHORIZED, "found that of `caudal api`"),
            (from("api"), StatusCode::NOT_FOUND, "found that of `caudal api`"),
            (
                HeaderMap::new(),
                StatusCode::UNAUTHORIZED,
                "not as the internal listener of `caudal controller` does: another program, or another port of Caudal's, may be \
                 there, or an older Caudal with another CAUDAL_SECRET",
            ),
            (HeaderMap::new(), StatusCode::NOT_FOUND, "not as the internal listener of `caudal controller`"),
            (from("<script>"), StatusCode::OK, "it answered 200 OK, and not as the internal listener"),
        ] {
            let said = refusal(InternalListener::Controller, status, &headers);
            assert!(said.contains(words), "{said}");
            assert_eq!(said.contains("CAUDAL_SECRET"), words.contains("CAUDAL_SECRET"), "{said}");
            assert!(!said.contains("script"), "{said}");
        }
    }

    #[test]
    fn a_refusal_says_how_far_apart_the_clocks_are_where_that_is_why() {
        for (behind, words) in [(3600, "are 3600 s apart: 300 s are let pass"), (0, "CAUDAL_SECRET")] {
            let theirs = SystemTime::now() - Duration::from_secs(behind);
            let theirs = DateTime::<Utc>::from(theirs).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let mut headers = from("api");
            headers.insert(DATE, theirs.parse().unwrap());
            let said = refusal(InternalListener::Api, StatusCode::UNAUTHORIZED, &headers);
            // The second may end between the two looks.
            assert!(said.contains(words) || said.contains("are 3601 s apart"), "{said}");
        }
    }

    #[tokio::test]
    async fn an_answer_says_whose_it_is_also_where_there_is_no_such_path() {
        use tower::ServiceExt as _;

        let routes: Router = listener_of(InternalListener::Api, Router::new());
        let answer = routes.oneshot(axum::extract::Request::new(axum::body::Body::empty())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert!(answered_by(InternalListener::Api, answer.headers()));
        assert!(!answered_by(InternalListener::Controller, answer.headers()));
    }
}
