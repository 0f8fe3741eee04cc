//! Why the api cannot start.

use std::time::Duration;

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
    /// Mails cannot be sent as the settings say; says what is expected.
    #[error("SMTP_URL: {0}")]
    Mail(String),
    /// The payment provider cannot be asked at all; says why.
    #[error("STRIPE_SECRET_KEY: {0}")]
    Provider(String),
    /// RTMPS cannot be probed here; says why.
    #[error("CAUDAL_RTMP_PROBE_URL: {0}")]
    RtmpDoor(String),
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
