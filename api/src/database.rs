//! Reaching PostgreSQL, and bringing its schema up to date.

use std::io;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use caudal_livestream::UnixMillis;
use chrono::{DateTime, Datelike as _, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::DatabaseUse;
use crate::database_lock::DatabaseLock;
use crate::input::InputError;
use crate::schema::{self, MISSING_RIGHTS};
use crate::start_error::StartError;
use crate::{names, username};

/// Whether a `DATABASE_URL` is one.
///
/// # Errors
/// What is expected; never the URL itself, which holds a password.
pub fn check_database_url(url: &SecretString) -> Result<(), String> {
    options(url).map(drop)
}

/// Which database a `DATABASE_URL` names, for a person: its name and where it is, and neither user nor password. None where it is no URL
/// of one.
pub fn shown_database(url: &SecretString) -> Option<String> {
    let options = options(url).ok()?;
    let name = options.get_database().unwrap_or_else(|| options.get_username());
    Some(format!("{name} at {}", address(&options)))
}

pub(crate) fn options(url: &SecretString) -> Result<PgConnectOptions, String> {
    let url = url.expose_secret().trim();
    // sqlx takes any scheme.
    if !["postgresql://", "postgres://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(format!("it does not begin with postgresql://; {EXPECTED_URL}"));
    }
    PgConnectOptions::from_str(url).map_err(|error| {
        format!("{error}; {EXPECTED_URL}, where @ : / ? # and % in a password are written as %40 %3A %2F %3F %23 and %25")
    })
}

/// Connects, waiting up to `patience` for a server that is still starting, and migrates. Exclusive use takes the lock
/// first, so that nothing of another platform's is changed.
pub(crate) async fn open(
    url: &SecretString,
    connections: u32,
    database_use: DatabaseUse,
    patience: Duration,
    shutdown: &CancellationToken,
) -> Result<(PgPool, Option<DatabaseLock>), StartError> {
    let options = options(url).map_err(StartError::DatabaseUrl)?.application_name("caudal-api");
    let address = address(&options);
    let mut reached = reach(&options, &address, patience, shutdown).await?;
    let refused = |reason| StartError::DatabaseRefused { address: address.clone(), reason };
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int")
        .fetch_one(&mut reached.connection)
        .await?;
    if version < OLDEST_SERVER {
        return Err(refused(format!("it is PostgreSQL {}; expected 15 or later", version / 10_000)));
    }
    let lock = match database_use {
        DatabaseUse::Exclusive => {
            Some(DatabaseLock::take(&options, &address, reached, patience, shutdown).await?)
        }
        DatabaseUse::Shared => {
            reached.connection.close().await?;
            None
        }
    };
    let pools = PgPoolOptions::new()
        // Long enough for a burst to pass, short enough that a request's own deadline is not the one that ends it.
        .acquire_timeout(Duration::from_secs(3));
    // The whole schema at once takes its time on a slow disk, which is no fault, and its SQL fills the screen.
    let unlogged = options.clone().disable_statement_logging();
    let migrating = pools.clone().max_connections(1).connect_lazy_with(unlogged);
    let pool = pools.max_connections(connections.max(MIN_CONNECTIONS)).connect_lazy_with(options);
    let migrate = async {
        schema::bring_up_to_date(&migrating).await.map_err(refused)?;
        migrating.close().await;
        names::fill_in(&pool).await?;
        Ok::<_, StartError>(username::fill_in(&pool).await?)
    };
    shutdown.run_until_cancelled(migrate).await.ok_or(StartError::Stopped)??;
    Ok((pool, lock))
}

/// One connection, for a command that is over in a moment; nothing is brought up to date.
pub(crate) async fn connect_once(url: &SecretString) -> Result<PgConnection, String> {
    let options = options(url).map_err(|reason| format!("DATABASE_URL: {reason}"))?;
    let options = options.application_name("caudal-admin").disable_statement_logging();
    let reason = match timeout(ANSWER_WITHIN, options.connect()).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => match failure(&error) {
            Failure::MayPass(reason) | Failure::Final(reason) => reason,
        },
        Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
    };
    Err(format!("PostgreSQL at {}: {reason}", address(&options)))
}

/// What queries answer, within `longest`. A server that lost its power, or a network that swallows packets, says nothing: without an end
/// of its own a query would wait for the kernel, which gives up after a quarter of an hour.
pub(crate) async fn within<T, E: From<sqlx::Error>>(
    longest: Duration,
    queries: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(longest, queries).await.unwrap_or_else(|_| {
        let words = format!("PostgreSQL: no answer within {} s", longest.as_secs());
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, words)).into())
    })
}

/// Why a query of such a command failed.
pub(crate) fn words_of_query(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        // No such table, no such column.
        Some("42P01" | "42703") => {
            "the database is not one of this version; start the platform first, which makes its tables"
                .to_owned()
        }
        _ => format!("PostgreSQL: {error}"),
    }
}

/// When something happened, by another part's clock.
pub(crate) fn instant(UnixMillis(at): UnixMillis) -> Result<DateTime<Utc>, InputError> {
    let instant = DateTime::from_timestamp_millis(at).filter(storable);
    instant.ok_or_else(|| InputError::Malformed(format!("{at} is no time")))
}

/// Whether an instant from outside is one that broadcasts happen at; PostgreSQL refuses what is far beyond.
pub(crate) fn storable(instant: &DateTime<Utc>) -> bool {
    (1970..10_000).contains(&instant.year())
}

/// A connection to PostgreSQL.
pub(crate) struct Reached {
    pub(crate) connection: PgConnection,
    /// Whether earlier attempts failed: the server was starting, perhaps anew.
    pub(crate) was_away: bool,
}

/// The first connection. A pool would try again by itself, and in the end only say that time is up.
pub(crate) async fn reach(
    options: &PgConnectOptions,
    address: &str,
    patience: Duration,
    shutdown: &CancellationToken,
) -> Result<Reached, StartError> {
    let began = Instant::now();
    let mut said: Option<(String, Instant)> = None;
    let mut pause = Duration::from_millis(100);
    let mut was_away = false;
    loop {
        let attempt = shutdown.run_until_cancelled(timeout(ANSWER_WITHIN, options.connect())).await;
        let failure = match attempt {
            None => return Err(StartError::Stopped),
            Some(Ok(Ok(connection))) => return Ok(Reached { connection, was_away }),
            Some(Ok(Err(error))) => failure(&error),
            Some(Err(_)) => Failure::MayPass(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
        };
        let reason = match failure {
            Failure::Final(reason) => {
                return Err(StartError::DatabaseRefused { address: address.to_owned(), reason });
            }
            Failure::MayPass(reason) => reason,
        };
        was_away = true;
        let waited = began.elapsed();
        if waited + pause > patience {
            return Err(StartError::DatabaseUnreachable { address: address.to_owned(), waited, reason });
        }
        if said.as_ref().is_none_or(|(last, at)| *last != reason || at.elapsed() >= SAY_EVERY) {
            let left = patience.saturating_sub(waited).as_secs();
            tracing::warn!("PostgreSQL at {address}: {reason}; trying for {left} s more");
            said = Some((reason, Instant::now()));
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Err(StartError::Stopped);
        }
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// Why a connection was not made, in words.
enum Failure {
    /// The server may be starting, or the network.
    MayPass(String),
    /// Another try would end in the same way.
    Final(String),
}

fn failure(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            let said = refusal.message();
            match code.as_ref() {
                "28P01" => Failure::Final(format!(
                    "it refuses the user or the password: {said}; correct DATABASE_URL"
                )),
                code if code.starts_with("28") => Failure::Final(format!(
                    "it refuses the connection: {said}; correct DATABASE_URL, or the server's pg_hba.conf"
                )),
                "3D000" => Failure::Final(format!(
                    "{said}; create it, owned by the role in DATABASE_URL, or name another one there"
                )),
                "42501" => Failure::Final(format!("{said}; {MISSING_RIGHTS}")),
                _ => Failure::MayPass(said.to_owned()),
            }
        }
        sqlx::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                Failure::MayPass("connection refused: nothing listens there".to_owned())
            }
            io::ErrorKind::NotFound => {
                Failure::MayPass("there is no socket: no server runs there".to_owned())
            }
            // rustls says by this what it does not like about a certificate.
            io::ErrorKind::InvalidData => Failure::Final(format!("no TLS: {error}; {ABOUT_TLS}")),
            _ => Failure::MayPass(error.to_string()),
        },
        sqlx::Error::Tls(error) => Failure::Final(format!("no TLS: {error}; {ABOUT_TLS}")),
        sqlx::Error::Protocol(_) => Failure::Final(format!(
            "what answers there does not speak PostgreSQL ({error}); correct host and port in DATABASE_URL"
        )),
        sqlx::Error::Configuration(_) => Failure::Final(format!("{error}; correct DATABASE_URL")),
        _ => Failure::MayPass(error.to_string()),
    }
}

fn address(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// One for a request, one for the background.
const MIN_CONNECTIONS: u32 = 2;
/// As `server_version_num` has it.
const OLDEST_SERVER: i32 = 150_000;
/// For one connection with its handshake; a server that is slower is as good as away.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Often enough to see that something is being waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);
const EXPECTED_URL: &str = "expected a URL as in postgresql://user:password@localhost:5432/caudal";
const ABOUT_TLS: &str = "correct sslmode and sslrootcert in DATABASE_URL, or the server's certificate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_another_database_is_refused_without_being_shown() {
        for wrong in [
            "mysql://me:hunter2@localhost/caudal",
            "redis://hunter2@localhost",
            "hunter2",
            "postgresql://me:hun/ter2@localhost/caudal",
            "postgresql://me:hunter2@localhost:port/caudal",
            "postgresql://me:hunter2@localhost/caudal?sslmode=maybe",
        ] {
            let refused = check_database_url(&wrong.into()).unwrap_err();
            assert!(
                refused.contains("expected a URL as in postgresql://") && !refused.contains("ter2"),
                "{refused}"
            );
        }
        for right in [
            "postgres://localhost",
            "postgresql://me:a%40b@[::1]:5433/caudal",
            "postgresql:///caudal?host=/run/postgresql",
        ] {
            assert_eq!(check_database_url(&right.into()), Ok(()), "{right}");
        }
    }
}
