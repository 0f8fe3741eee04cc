//! Which role an internal listener is of. Every answer says it, refusals too: an address that leads to another role, or to
//! no part of Caudal at all, must not look like a wrong secret.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;

/// `routes` of the internal listener of `role`, which say so in every answer.
pub fn listener_of(role: &'static str, routes: Router) -> Router {
    routes.layer(map_response(move |mut answer: Response| async move {
        answer.headers_mut().insert(ROLE_HEADER, HeaderValue::from_static(role));
        answer
    }))
}

/// Whether the answer with these headers is that role's.
pub fn answered_by(role: &str, headers: &HeaderMap) -> bool {
    role_in(headers) == Some(role)
}

/// Why a signed request to the internal listener of `expected` was not taken, in words for whoever gave its address: "it"
/// is what answered.
pub fn refusal(expected: &str, status: StatusCode, headers: &HeaderMap) -> String {
    match role_in(headers) {
        Some(role) if role != expected => format!(
            "it is the internal listener of another role: expected that of `caudal {expected}`, found that of `caudal {role}`"
        ),
        Some(_) if status == StatusCode::UNAUTHORIZED => {
            "it does not accept the signature: CAUDAL_SECRET is another one there, or the clocks are a minute apart"
                .to_owned()
        }
        Some(_) => format!("it answered {status}"),
        None => format!(
            "it answered {status}, and not as the internal listener of `caudal {expected}` does: another program, or another \
             port of Caudal's, may be there"
        ),
    }
}

/// A stranger's header may hold anything: only names of roles are shown.
fn role_in(headers: &HeaderMap) -> Option<&str> {
    let role = headers.get(ROLE_HEADER)?.to_str().ok()?;
    ROLES.contains(&role).then_some(role)
}

const ROLE_HEADER: HeaderName = HeaderName::from_static("caudal-role");
/// Roles that have an internal listener.
const ROLES: [&str; 3] = ["api", "controller", "ingest-router"];

#[cfg(test)]
mod tests {
    use super::*;

    fn from(role: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ROLE_HEADER, HeaderValue::from_static(role))])
    }

    #[test]
    fn a_refusal_tells_a_wrong_secret_from_a_wrong_address() {
        for (headers, status, words) in [
            (from("controller"), StatusCode::UNAUTHORIZED, "CAUDAL_SECRET is another one there"),
            (from("controller"), StatusCode::NOT_FOUND, "it answered 404"),
            (from("api"), StatusCode::UNAUTHORIZED, "found that of `caudal api`"),
            (from("api"), StatusCode::NOT_FOUND, "found that of `caudal api`"),
            (
                HeaderMap::new(),
                StatusCode::UNAUTHORIZED,
                "not as the internal listener of `caudal controller`",
            ),
            (from("<script>"), StatusCode::OK, "it answered 200 OK, and not as the internal listener"),
        ] {
            let said = refusal("controller", status, &headers);
            assert!(said.contains(words), "{said}");
            assert_eq!(said.contains("CAUDAL_SECRET"), words.contains("CAUDAL_SECRET"), "{said}");
            assert!(!said.contains("script"), "{said}");
        }
    }

    #[tokio::test]
    async fn an_answer_says_whose_it_is_also_where_there_is_no_such_path() {
        use tower::ServiceExt as _;

        let routes: Router = listener_of("api", Router::new());
        let answer = routes.oneshot(axum::extract::Request::new(axum::body::Body::empty())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert!(answered_by("api", answer.headers()) && !answered_by("controller", answer.headers()));
    }
}
