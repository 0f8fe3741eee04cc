//! The connection to Redis: one, multiplexed, reconnecting by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{IntGauge, Registry};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo as _, RedisError, RedisResult};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use crate::start_error::StartError;

/// Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub(crate) struct RedisStore {
    client: Client,
    // Held for single operations only, never across an await.
    connection: Arc<Mutex<ConnectionManager>>,
}

impl RedisStore {
    /// Does not wait for Redis: everything that uses it has an answer for its absence.
    pub(crate) fn open(url: &SecretString) -> Result<Self, StartError> {
        let client = client(url).map_err(StartError::RedisUrl)?;
        let connection = manager(&client).map_err(|error| StartError::RedisUrl(error.to_string()))?;
        Ok(Self { client, connection: Arc::new(Mutex::new(connection)) })
    }

    /// To be asked for anew by whoever works on and on: see [`Self::failed`].
    pub(crate) fn connection(&self) -> ConnectionManager {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A manager that was refused when it connected (the password is another one) never connects again by itself.
    pub(crate) fn failed(&self, error: &RedisError) {
        if !error.is_io_error()
            && let Ok(anew) = manager(&self.client)
        {
            *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = anew;
        }
    }
}

/// Whether a `REDIS_URL` is one.
///
/// # Errors
/// What is expected; never the URL itself, which may hold a password.
pub fn check_redis_url(url: &SecretString) -> Result<(), String> {
    client(url).map(drop)
}

pub(crate) fn client(url: &SecretString) -> Result<Client, String> {
    let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(VANISHED);
    let info = url.expose_secret().trim().into_connection_info().map(|info| info.set_tcp_settings(tcp));
    info.and_then(Client::open).map_err(|_| {
        "expected a URL as in redis://localhost:6379 or redis://:password@localhost:6379/0; rediss:// for TLS".to_owned()
    })
}

/// Connects when it is first used.
fn manager(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// That Redis did not answer lately: until that is over, whoever asks it with each request goes on without.
#[derive(Default)]
pub(crate) struct Absence(Mutex<Option<Instant>>);

impl Absence {
    pub(crate) fn lasts(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + PAUSE);
    }
}

/// Asks Redis now and then whether it is there, and says when it goes and comes: what is without it goes on quietly.
pub(crate) async fn watch(store: RedisStore, reachable: IntGauge, shutdown: CancellationToken) {
    let mut heard = Reachable::default();
    loop {
        let mut connection = store.connection();
        let answer: RedisResult<()> = redis::cmd("PING").query_async(&mut connection).await;
        if let Err(error) = &answer {
            store.failed(error);
        }
        reachable.set(i64::from(answer.is_ok()));
        match heard.heard(answer.map_err(|error| error.to_string())) {
            Some(Change::Gone(reason)) => tracing::warn!(
                "Redis (REDIS_URL) is away: {reason}; until it is back each replica counts limits for itself"
            ),
            Some(Change::Back) => tracing::info!("Redis is back"),
            None => {}
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// What [`watch`] keeps up to date.
pub(crate) fn gauge(registry: &Registry) -> Result<IntGauge, prometheus::Error> {
    let reachable = IntGauge::new(
        "caudal_api_redis_reachable",
        "Whether Redis answers; while it does not, nobody can say anything in a chat.",
    )?;
    registry.register(Box::new(reachable.clone()))?;
    Ok(reachable)
}

/// What was heard of Redis last; nothing at the start, when all is supposed to be well.
#[derive(Default)]
struct Reachable {
    away: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Gone(String),
    Back,
}

impl Reachable {
    fn heard(&mut self, answer: Result<(), String>) -> Option<Change> {
        let away = answer.is_err();
        if std::mem::replace(&mut self.away, away) == away {
            return None;
        }
        Some(answer.map_or_else(Change::Gone, |()| Change::Back))
    }
}

/// Soon enough for a log line; what depends on Redis notices by itself.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Every request waits for Redis at most this long before it goes on without.
const PATIENCE: Duration = Duration::from_millis(500);
/// After so long without a sign of the machine at the other end, the connection is broken and a new one is made. TCP itself would take
/// a quarter of an hour.
const VANISHED: Duration = Duration::from_secs(10);
/// A request asks several times, and a Redis that hangs would hold each of them up as long as one waits for it.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_redis_is_away_is_said_once_and_that_it_is_back_too() {
        let mut reachable = Reachable::default();
        let gone = || Err("connection refused".to_owned());
        assert_eq!(reachable.heard(Ok(())), None);
        assert_eq!(reachable.heard(gone()), Some(Change::Gone("connection refused".to_owned())));
        assert_eq!(reachable.heard(gone()), None);
        assert_eq!(reachable.heard(Ok(())), Some(Change::Back));
        assert!(Reachable::default().heard(gone()).is_some(), "also at the start");
    }

    #[test]
    fn a_url_of_something_else_is_refused_without_being_shown() {
        for wrong in [
            "hunter2",
            "mysql://hunter2@localhost",
            "http://localhost:6379",
            "redis://localhost/hunter2",
            "redis://",
        ] {
            let refused = check_redis_url(&wrong.into()).expect_err(wrong);
            assert!(refused.contains("redis://localhost:6379") && !refused.contains("hunter2"), "{refused}");
        }
        for right in ["redis://localhost", "rediss://:secret@localhost:6380/1"] {
            assert_eq!(check_redis_url(&right.into()), Ok(()), "{right}");
        }
    }
}
