use super::*;

/// Every variant of [`Error`] once, or once a case: adding one without a row here does not compile.
fn number(error: &Error) -> usize {
    match error {
        Error::Malformed(_) => 0,
        Error::Invalid(_) => 1,
        Error::Unauthenticated => 2,
        Error::TokenInvalid => 3,
        Error::TokenExpired => 4,
        Error::SessionRevoked => 5,
        Error::WrongCredentials => 6,
        Error::Banned => 7,
        Error::RefreshInvalid => 8,
        Error::RefreshReused => 9,
        Error::WrongPassword => 10,
        Error::Forbidden => 11,
        Error::NotFound(_) => 12,
        Error::NoOpenStream => 13,
        Error::StreamOpen => 14,
        Error::Taken(_) => 15,
        Error::PreconditionFailed => 16,
        Error::UnsupportedMediaType => 17,
        Error::TooLarge => 18,
        Error::RateLimited(_) => 19,
        Error::Overloaded => 20,
        Error::TimedOut => 21,
        Error::Database(_) => 22,
        Error::Internal(_) => 23,
        Error::StreamKeyUnreadable => 24,
    }
}

const VARIANTS: usize = 25;

#[test]
fn every_error_says_what_is_wrong_and_what_to_do_about_it() {
    let bug = "something went wrong on the server; its log says what, under this answer's requestId";
    let field = || FieldError::new("/username", "taken", "this name is taken");
    let cases = [
        (Error::Malformed("the body is not JSON".into()), 400, "malformed", "the body is not JSON"),
        (Error::Invalid(vec![field()]), 422, "invalid", "some fields are not acceptable"),
        (Error::Unauthenticated, 401, "unauthenticated", "log in first"),
        (Error::TokenInvalid, 401, "token_invalid", "the access token is not valid; log in again"),
        (Error::TokenExpired, 401, "token_expired", "the access token has expired; refresh it"),
        (Error::SessionRevoked, 401, "session_revoked", "the session has been ended; log in again"),
        (Error::WrongCredentials, 401, "wrong_credentials", "the name or the password is wrong"),
        (Error::Banned, 403, "banned", "this account is banned; ask whoever runs this server"),
        (Error::RefreshInvalid, 401, "refresh_invalid", "the refresh token is not valid; log in again"),
        (
            Error::RefreshReused,
            401,
            "refresh_reused",
            "the refresh token was used before, so its session has been ended; log in again",
        ),
        (Error::WrongPassword, 403, "wrong_password", "the password is wrong"),
        (Error::Forbidden, 403, "forbidden", "this is not yours"),
        (Error::NotFound("the stream"), 404, "not_found", "the stream does not exist"),
        (Error::NoOpenStream, 404, "not_found", "you have no open stream; prepare one, or start streaming"),
        (Error::StreamOpen, 409, "stream_open", "a stream is open already; end it first"),
        (Error::Taken(field()), 409, "taken", "this name is taken"),
        (
            Error::StreamKeyUnreadable,
            409,
            "stream_key_unreadable",
            "the server's secret was changed or lost, and your stream key with it; make a new key and copy it into your encoder",
        ),
        (Error::PreconditionFailed, 412, "precondition_failed", "it was changed meanwhile; read it again"),
        (Error::UnsupportedMediaType, 415, "unsupported_media_type", "the body must be application/json"),
        (Error::TooLarge, 413, "too_large", "the body is too large"),
        (Error::RateLimited(Duration::ZERO), 429, "rate_limited", "too many requests; wait 1 s"),
        (Error::RateLimited(Duration::from_millis(1)), 429, "rate_limited", "too many requests; wait 1 s"),
        (
            Error::RateLimited(Duration::from_millis(5_001)),
            429,
            "rate_limited",
            "too many requests; wait 6 s",
        ),
        (Error::Overloaded, 503, "overloaded", "too many people are logging in just now; try again in 2 s"),
        (Error::TimedOut, 503, "timed_out", "the server took too long to answer; try again in 2 s"),
        (
            Error::Database(sqlx::Error::PoolTimedOut),
            503,
            "unavailable",
            "the database cannot be reached just now; try again in 2 s",
        ),
        (Error::Database(sqlx::Error::RowNotFound), 500, "internal", bug),
        (Error::Internal("a secret".into()), 500, "internal", bug),
    ];
    let mut seen = [false; VARIANTS];
    for (error, status, code, words) in cases {
        seen[number(&error)] = true;
        let wait = words.rsplit(' ').nth(1).filter(|_| words.ends_with(" s"));
        let response = error.into_response();
        let problem = response.extensions().get::<Problem>().unwrap();
        assert_eq!((response.status().as_u16(), problem.status, problem.code), (status, status, code));
        assert_eq!(problem.detail.as_deref(), Some(words));
        // The header says the same as the words, and neither stands alone.
        let header = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
        assert_eq!(header, wait, "{words}");
    }
    assert_eq!(seen, [true; VARIANTS]);
}

/// Status, headers and body of every answer that an error becomes, to the byte.
#[tokio::test]
async fn every_answer_stays_as_it_is() {
    use axum::http::Method;
    use std::fmt::Write as _;

    let field = || FieldError::new("/username", "taken", "this name is taken");
    let errors = [
        Error::Malformed("the body is not JSON".into()),
        Error::Invalid(vec![field(), FieldError::new("?limit", "invalid", "must be lower than 101")]),
        Error::Invalid(vec![]),
        Error::Unauthenticated,
        Error::TokenInvalid,
        Error::TokenExpired,
        Error::SessionRevoked,
        Error::WrongCredentials,
        Error::Banned,
        Error::RefreshInvalid,
        Error::RefreshReused,
        Error::WrongPassword,
        Error::Forbidden,
        Error::NotFound("the stream"),
        Error::NotFound("this path"),
        Error::NotFound("this file"),
        Error::NoOpenStream,
        Error::StreamOpen,
        Error::Taken(field()),
        Error::StreamKeyUnreadable,
        Error::PreconditionFailed,
        Error::UnsupportedMediaType,
        Error::TooLarge,
        Error::RateLimited(Duration::ZERO),
        Error::RateLimited(Duration::from_millis(5_001)),
        Error::RateLimited(Duration::MAX),
        Error::Overloaded,
        Error::TimedOut,
        Error::Database(sqlx::Error::PoolTimedOut),
        Error::Database(sqlx::Error::RowNotFound),
        Error::Internal("a secret".into()),
    ];
    let statuses = [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502, 503];
    let bare = statuses.map(|status| StatusCode::from_u16(status).unwrap().into_response());
    let mut table = String::new();
    for answer in errors.map(IntoResponse::into_response).into_iter().chain(bare) {
        let answer = crate::exchange::with_problem(answer, "the-id", &Method::GET);
        writeln!(table, "{}", answer.status()).unwrap();
        let (parts, body) = answer.into_parts();
        let mut headers: Vec<_> = parts.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            writeln!(table, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        writeln!(table, "{}\n", std::str::from_utf8(&body).unwrap()).unwrap();
    }
    insta::assert_snapshot!(table);
}
