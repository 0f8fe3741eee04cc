//! How often anybody may ask.

mod error;
pub(crate) mod gcra;
mod in_process;
mod redis;

use std::fmt;
use std::time::Duration;

use axum::http::HeaderValue;
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::address::Origin;
use crate::names::NormalName;
use crate::redis_store::RedisStore;
pub(crate) use error::LimitError;
use gcra::{Quota, Verdict};
use in_process::InProcessLimiter;
use redis::RedisLimiter;

/// Requests a minute.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one person wherever they are, and of one address whoever asks from there, on `/api`.
    pub requests_a_minute: u32,
    /// Pictures of one person, and guesses at one account's password and keys from one address. Three times as many at all accounts' passwords from one
    /// address; ten times as many *an hour* at one account's password from all addresses where its owner was not lately.
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
    /// What open home pages, watch pages and studios ask again and again: a school has one address and a person many tabs,
    /// and neither must lock itself out by watching.
    Watching,
    /// What could be guessed, by one address at one account.
    Attempts,
    /// Passwords, by one address at all accounts.
    AttemptsFromAddress,
    /// One account's password, by all strangers' addresses together.
    AttemptsByStrangers,
    /// Pictures that one person sends.
    Uploads,
}

impl Class {
    /// In headers and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Watching => "watching",
            Self::Attempts => "attempts",
            Self::AttemptsFromAddress => "attempts-from-address",
            Self::AttemptsByStrangers => "attempts-by-strangers",
            Self::Uploads => "uploads",
        }
    }

    /// How many, in how long.
    fn promise(self, limits: Limits) -> (u32, Duration) {
        let Limits { requests_a_minute, attempts_a_minute } = limits;
        match self {
            Self::Requests => (requests_a_minute, MINUTE),
            Self::Watching => (requests_a_minute.saturating_mul(WATCHERS), MINUTE),
            Self::Attempts | Self::Uploads => (attempts_a_minute, MINUTE),
            // Enough for a classroom that logs in together, and all that a list of stolen passwords gets from one address.
            Self::AttemptsFromAddress => (attempts_a_minute.saturating_mul(3), MINUTE),
            // 2,500 guesses a day however many addresses a stranger has, instead of as many a minute.
            Self::AttemptsByStrangers => (attempts_a_minute.saturating_mul(10), HOUR),
        }
    }

    /// What keeps the promise. Requests are held to it in every minute, wherever that begins; of the others as many more may come
    /// while a burst refills, since they bound guesses a day and what polls cost.
    fn quota(self, limits: Limits) -> Quota {
        let (count, window) = self.promise(limits);
        match self {
            Self::Requests => Quota::in_any_window(count, window),
            _ => Quota::new(count, window),
        }
    }
}

/// What an attempt is at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// A username or an email address, whether an account has it or not.
    Name(&'a NormalName),
    /// The mailbox of an address, whoever's it is.
    Mailbox(&'a NormalName),
    /// An account's stream key: shown, not guessed.
    Key(Uuid),
    /// Something that is no account's.
    Act(&'static str),
}

/// Whose counter: a class and a person or origin, as a short text that names no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bucket(String);

impl Bucket {
    pub(crate) fn of_user(class: Class, user: Uuid) -> Self {
        Self(format!("{}:u:{}", kind(class), user.simple()))
    }

    /// Of everybody there, logged in or not.
    pub(crate) fn of_origin(class: Class, origin: Origin) -> Self {
        Self(format!("{}:a:{origin}", kind(class)))
    }

    pub(crate) fn attempts(origin: Origin, target: Target<'_>) -> Self {
        Self(format!("a:{origin}:{}", short(target)))
    }

    /// From any address: for what only the holder of an access token can try.
    pub(crate) fn confirmations(user: Uuid) -> Self {
        Self(format!("c:{}", user.simple()))
    }

    pub(crate) fn uploads(user: Uuid) -> Self {
        Self(format!("p:{}", user.simple()))
    }

    pub(crate) fn attempts_from(origin: Origin) -> Self {
        Self(format!("f:{origin}"))
    }

    pub(crate) fn attempts_by_strangers(target: Target<'_>) -> Self {
        Self(format!("s:{}", short(target)))
    }
}

fn kind(class: Class) -> &'static str {
    if class == Class::Watching { "w" } else { "r" }
}

/// A name may be long, and may be a password typed into the wrong field: only its hash is kept.
fn short(target: Target<'_>) -> String {
    match target {
        Target::Name(name) => format!("n:{}", hashed(name)),
        Target::Mailbox(name) => format!("m:{}", hashed(name)),
        Target::Key(user) => format!("k:{}", user.simple()),
        Target::Act(act) => act.to_owned(),
    }
}

fn hashed(name: &NormalName) -> String {
    let digest = Sha256::digest(name.as_str());
    hex::encode(digest.get(..8).unwrap_or(&digest))
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
    window: Duration,
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
        let name = self.class.word();
        let reset = whole_seconds(self.reset);
        let policy = format!("\"{name}\";q={};w={}", self.limit, self.window.as_secs());
        let state = format!("\"{name}\";r={};t={reset}", self.remaining);
        [
            ("ratelimit-policy", HeaderValue::try_from(policy).ok()),
            ("ratelimit", HeaderValue::try_from(state).ok()),
        ]
    }
}

/// Counts requests: in Redis, where replicas share their counters, or in this process.
trait RateLimiter: Send + Sync {
    /// Counts one request in `bucket`, which lets in as many as `quota` says.
    fn count<'a>(&'a self, bucket: &'a Bucket, quota: Quota) -> BoxFuture<'a, Verdict>;

    /// Forgets counters of this process that have refilled.
    fn sweep(&self);
}

/// How many requests of each class there may be, and the counters that know how many there were.
pub(crate) struct RateLimits {
    limits: Limits,
    limiter: Box<dyn RateLimiter>,
}

impl RateLimits {
    /// Counts in Redis where there is one.
    pub(crate) fn new(limits: Limits, store: Option<RedisStore>) -> Self {
        let limiter: Box<dyn RateLimiter> = match store {
            Some(store) => Box::new(RedisLimiter::new(store)),
            None => Box::new(InProcessLimiter::default()),
        };
        Self { limits, limiter }
    }

    /// Counts one request.
    pub(crate) async fn count(&self, class: Class, bucket: &Bucket) -> Decision {
        let (limit, window) = class.promise(self.limits);
        let verdict = self.limiter.count(bucket, class.quota(self.limits)).await;
        let reset = verdict.retry_after.unwrap_or(verdict.full_after);
        Decision {
            class,
            limit,
            window,
            remaining: verdict.remaining,
            reset,
            allowed: verdict.retry_after.is_none(),
        }
    }

    /// Forgets counters that have refilled.
    pub(crate) fn sweep(&self) {
        self.limiter.sweep();
    }
}

/// Rounded up, at least one: a client that waits that long is let in.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// An open home or watch page asks twice a minute, so one address has room for 1,500 of them by default; for 150 watch
/// pages that all wait for a stream to begin (one request in 3 s), or for 80 studios of live streams (one in 1.7 s).
const WATCHERS: u32 = 30;

#[cfg(test)]
mod tests;
