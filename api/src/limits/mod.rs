//! How often anybody may ask.

mod gcra;
mod local;
mod redis;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::client::Origin;
use crate::redis_store::RedisStore;
use gcra::Quota;
use local::LocalBuckets;

/// Requests a minute.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one person, or of one address while nobody is logged in, on `/api`.
    pub requests_a_minute: u32,
    /// At one account's password, tokens and keys, from one address.
    pub attempts_a_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_a_minute: 100, attempts_a_minute: 10 }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Everything else.
    Requests,
    /// What watch pages ask while somebody watches, without a log-in: a school has one address, and must not lock itself
    /// out by watching.
    Watching,
    /// What could be guessed.
    Attempts,
}

/// Whose counter: a class and a person or origin, as a short text that names no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bucket(String);

impl Bucket {
    pub(crate) fn of_user(user: Uuid) -> Self {
        Self(format!("r:u:{}", user.simple()))
    }

    /// Of whoever is not logged in.
    pub(crate) fn of_origin(class: Class, origin: Origin) -> Self {
        let kind = if class == Class::Watching { "w" } else { "r" };
        Self(format!("{kind}:a:{origin}"))
    }

    /// `account` may be long, and may be a token: only its hash is kept.
    pub(crate) fn attempts(origin: Origin, account: &str) -> Self {
        let digest = Sha256::digest(account.to_lowercase());
        Self(format!("a:{origin}:{}", hex::encode(digest.get(..8).unwrap_or(&digest))))
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a counter said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    class: Class,
    limit: u32,
    remaining: u32,
    /// Until the counter is as if nobody had asked; when refused, until the next request is let in.
    reset: Duration,
    allowed: bool,
}

impl Decision {
    /// How long to wait, when the request is refused.
    pub(crate) fn refused(&self) -> Option<Duration> {
        (!self.allowed).then_some(self.reset)
    }

    /// Of two counters that one request touched, the one that says more: the emptier.
    pub(crate) fn stricter(self, other: Self) -> Self {
        if other.remaining <= self.remaining { other } else { self }
    }

    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
    pub(crate) fn headers(&self) -> [(&'static str, Option<HeaderValue>); 2] {
        let name = match self.class {
            Class::Requests => "requests",
            Class::Watching => "watching",
            Class::Attempts => "attempts",
        };
        let reset = crate::error::whole_seconds(self.reset);
        let policy = format!("\"{name}\";q={};w={}", self.limit, WINDOW.as_secs());
        let state = format!("\"{name}\";r={};t={reset}", self.remaining);
        [
            ("ratelimit-policy", HeaderValue::try_from(policy).ok()),
            ("ratelimit", HeaderValue::try_from(state).ok()),
        ]
    }
}

/// All counters: in Redis, where replicas share them, else in this process. While Redis is away each replica counts for
/// itself: too generous by the number of replicas, but nobody is locked out and nobody is unlimited.
pub(crate) struct RateLimiter {
    limits: Limits,
    local: LocalBuckets,
    shared: Option<redis::SharedBuckets>,
}

impl RateLimiter {
    pub(crate) fn new(limits: Limits, store: Option<RedisStore>) -> Self {
        Self { limits, local: LocalBuckets::default(), shared: store.map(redis::SharedBuckets::new) }
    }

    /// Counts one request.
    pub(crate) async fn count(&self, class: Class, bucket: &Bucket) -> Decision {
        let limit = match class {
            Class::Requests => self.limits.requests_a_minute,
            Class::Watching => self.limits.requests_a_minute.saturating_mul(WATCHERS),
            Class::Attempts => self.limits.attempts_a_minute,
        };
        let quota = Quota::new(limit, WINDOW);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let verdict = match &self.shared {
            None => self.local.count(bucket, quota, now),
            Some(shared) => match shared.count(bucket, quota).await {
                Ok(verdict) => verdict,
                Err(error) => {
                    tracing::debug!(%error, "rate limits fall back to this replica's own");
                    self.local.count(bucket, quota, now)
                }
            },
        };
        let reset = verdict.retry_after.unwrap_or(verdict.full_after);
        Decision { class, limit, remaining: verdict.remaining, reset, allowed: verdict.retry_after.is_none() }
    }

    /// Forgets counters that have refilled.
    pub(crate) fn sweep(&self) {
        self.local.sweep(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    }
}

/// The mission counts by the minute.
const WINDOW: Duration = Duration::from_secs(60);
/// A watch page asks twice a minute, so one address has room for 1,500 of them by default, and for 150 that all wait for
/// a stream to begin.
const WATCHERS: u32 = 30;
