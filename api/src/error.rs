//! Everything that can go wrong with a request, and the words for it.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thiserror::Error;

/// Why the api cannot start, or cannot go on.
#[derive(Debug, Error)]
pub enum StartError {
    /// Somebody could guess it.
    #[error("the {0} is shorter than 32 bytes; generate one with: openssl rand -base64 48")]
    WeakSecret(&'static str),
    /// The URL makes no sense; says what is expected.
    #[error("DATABASE_URL: {0}")]
    DatabaseUrl(String),
    /// Nobody answered for as long as a start waits.
    #[error("PostgreSQL at {address} did not answer for {} s: {reason}; start it, or correct DATABASE_URL", waited.as_secs())]
    DatabaseUnreachable {
        /// Host and port, or the socket's folder; never the password.
        address: String,
        /// How long it had.
        waited: Duration,
        /// What happened last.
        reason: String,
    },
    /// It answered, and waiting would not change the answer.
    #[error("PostgreSQL at {address}: {reason}")]
    DatabaseRefused {
        /// As above.
        address: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A query of the start itself.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The URL makes no sense; says what is expected.
    #[error("REDIS_URL: {0}")]
    RedisUrl(String),
    /// Hashing passwords does not work at all.
    #[error("passwords cannot be hashed: {0}")]
    Passwords(String),
    /// A public URL cannot stand in a header.
    #[error("the public URL {0:?} cannot be used in a header")]
    PublicUrl(String),
    /// Two parts registered the same name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// No HTTP client could be made.
    #[error("the HTTP client: {0}")]
    HttpClient(#[from] reqwest::Error),
    /// Accepting connections failed for good.
    #[error("a listener failed: {0}")]
    Listener(std::io::Error),
    /// A bug.
    #[error("a task of the api ended badly: {0}")]
    Task(String),
    /// Asked to stop before it had started.
    #[error("stopped while starting")]
    Stopped,
}

/// Why a request did not get what it asked for.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// Not JSON, or no proper query.
    #[error("{0}")]
    Malformed(String),
    /// Well-formed, and not acceptable.
    #[error("some fields are not acceptable")]
    Invalid(Vec<FieldError>),
    /// Nobody is logged in.
    #[error("log in first")]
    Unauthenticated,
    /// The access token is not ours, or is broken.
    #[error("the access token is not valid; log in again")]
    TokenInvalid,
    /// The access token has run out: refresh.
    #[error("the access token has expired; refresh it")]
    TokenExpired,
    /// Logged out, banned, or the password changed.
    #[error("the session has been ended; log in again")]
    SessionRevoked,
    /// One answer for both mistakes, so that nobody learns which accounts exist.
    #[error("the name or the password is wrong")]
    WrongCredentials,
    /// Right credentials, unwelcome person.
    #[error("this account is banned; ask whoever runs this server")]
    Banned,
    /// Unknown, expired or malformed.
    #[error("the refresh token is not valid; log in again")]
    RefreshInvalid,
    /// A refresh token was used a second time: somebody else has it. All tokens of its family are void.
    #[error("the refresh token was used before, so its session has been ended; log in again")]
    RefreshReused,
    /// For acts that ask once more.
    #[error("the password is wrong")]
    WrongPassword,
    /// Somebody else's.
    #[error("this is not yours")]
    Forbidden,
    /// There is no such thing.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// The caller neither prepared a stream nor is live.
    #[error("you have no open stream; prepare one, or start streaming")]
    NoOpenStream,
    /// A person has one broadcast at a time.
    #[error("a stream is open already; end it first")]
    StreamOpen,
    /// Unique, and somebody else has it.
    #[error("{}", .0.detail)]
    Taken(FieldError),
    /// Sealed under a key that the api does not have any more.
    #[error(
        "the server's secret was changed or lost, and your stream key with it; make a new key and copy it into your encoder"
    )]
    StreamKeyUnreadable,
    /// Changed since it was read.
    #[error("it was changed meanwhile; read it again")]
    PreconditionFailed,
    /// Not JSON by its own word.
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    /// Larger than any request needs to be.
    #[error("the body is too large")]
    TooLarge,
    /// Too often.
    #[error("too many requests; wait {} s", whole_seconds(*.0))]
    RateLimited(Duration),
    /// More work than the machine can do just now.
    #[error("too many people are logging in just now; try again in {RETRY_SECONDS} s")]
    Overloaded,
    /// The answer did not come together in time.
    #[error("the server took too long to answer; try again in {RETRY_SECONDS} s")]
    TimedOut,
    /// PostgreSQL: away, or asked what it cannot answer.
    #[error("{}", words_of_database(.0))]
    Database(#[source] sqlx::Error),
    /// A bug, or a broken environment.
    #[error("{BUG}")]
    Internal(String),
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    /// RFC 6901, into the request's body; `?name` for a query parameter.
    pub(crate) pointer: String,
    /// For a program.
    pub(crate) code: &'static str,
    /// For a person.
    pub(crate) detail: String,
}

impl FieldError {
    pub(crate) fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// What an answer says of its error; the exchange adds the request's id and writes it (RFC 9457).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) title: &'static str,
    pub(crate) code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldError>,
}

impl Problem {
    /// For an answer that some layer gave by its status alone.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::BAD_REQUEST => "malformed",
            StatusCode::UNAUTHORIZED => "unauthenticated",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            _ if status.is_server_error() => "internal",
            _ => "refused",
        };
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            code,
            detail: None,
            errors: Vec::new(),
        }
    }
}

impl Error {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::TokenInvalid => (StatusCode::UNAUTHORIZED, "token_invalid"),
            Self::TokenExpired => (StatusCode::UNAUTHORIZED, "token_expired"),
            Self::SessionRevoked => (StatusCode::UNAUTHORIZED, "session_revoked"),
            Self::WrongCredentials => (StatusCode::UNAUTHORIZED, "wrong_credentials"),
            Self::RefreshInvalid => (StatusCode::UNAUTHORIZED, "refresh_invalid"),
            Self::RefreshReused => (StatusCode::UNAUTHORIZED, "refresh_reused"),
            Self::Banned => (StatusCode::FORBIDDEN, "banned"),
            Self::WrongPassword => (StatusCode::FORBIDDEN, "wrong_password"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NotFound(_) | Self::NoOpenStream => (StatusCode::NOT_FOUND, "not_found"),
            Self::StreamOpen => (StatusCode::CONFLICT, "stream_open"),
            Self::Taken(_) => (StatusCode::CONFLICT, "taken"),
            Self::StreamKeyUnreadable => (StatusCode::CONFLICT, "stream_key_unreadable"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, "timed_out"),
            Self::Database(error) if is_outage(error) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Database(_) | Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// True while PostgreSQL is away or full, which is nobody's bug.
pub(crate) fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            true
        }
        // Operator intervention (57), insufficient resources (53), connection exceptions (08), a database that takes no
        // connections (55000).
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["57", "53", "08", "55000"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        match &self {
            Self::Database(error) if status == StatusCode::SERVICE_UNAVAILABLE => {
                tracing::warn!(%error, "PostgreSQL is unavailable");
            }
            Self::Database(error) => tracing::error!(%error, "query failed"),
            Self::Internal(reason) => tracing::error!(%reason, "request failed"),
            _ => {}
        }
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::RateLimited(wait) = &self {
            headers.insert(header::RETRY_AFTER, whole_seconds(*wait).into());
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_SECONDS.into());
        }
        let detail = Some(self.to_string());
        let errors = match self {
            Self::Invalid(errors) => errors,
            Self::Taken(error) => vec![error],
            _ => Vec::new(),
        };
        let title = status.canonical_reason().unwrap_or("Error");
        response.extensions_mut().insert(Problem { status: status.as_u16(), title, code, detail, errors });
        response
    }
}

fn words_of_database(error: &sqlx::Error) -> String {
    if is_outage(error) {
        format!("the database cannot be reached just now; try again in {RETRY_SECONDS} s")
    } else {
        BUG.to_owned()
    }
}

/// Rounded up, at least one: a client that waits that long is let in.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

/// When to come back to what is away or busy: long enough for a restart of PostgreSQL, and said in words and in
/// `Retry-After` alike.
const RETRY_SECONDS: u64 = 2;
/// For what nobody but the operator can do anything about.
const BUG: &str = "something went wrong on the server; its log says what, under this answer's requestId";

#[cfg(test)]
mod tests;
