//! Reaching PostgreSQL, and bringing its schema up to date.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use caudal_livestream::UnixMillis;
use chrono::{DateTime, Datelike as _, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, StartError};

/// The schema. sqlx holds an advisory lock while it runs, so that replicas starting together do not race.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Connects, waiting up to `patience` for a server that is still starting, and migrates.
pub(crate) async fn open(
    url: &SecretString,
    connections: u32,
    patience: Duration,
    shutdown: &CancellationToken,
) -> Result<PgPool, StartError> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(StartError::DatabaseUrl)?;
    let options = options.application_name("caudal-api");
    let address = address(&options);
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(MIN_CONNECTIONS))
        // Long enough for a burst to pass, short enough that a request's own deadline is not the one that ends it.
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(options.clone());

    let began = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let Err(source) = pool.acquire().await else { break };
        let waited = began.elapsed();
        if waited + pause > patience || !may_pass(&source) {
            return Err(StartError::DatabaseUnreachable { address, waited, source });
        }
        tracing::info!(%address, error = %source, "waiting for PostgreSQL");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Err(StartError::Stopped),
        }
        pause = (pause * 2).min(Duration::from_secs(2));
    }
    MIGRATIONS.run(&pool).await?;
    Ok(pool)
}

/// When something happened, by another part's clock.
pub(crate) fn instant(UnixMillis(at): UnixMillis) -> Result<DateTime<Utc>, Error> {
    let instant = DateTime::from_timestamp_millis(at).filter(storable);
    instant.ok_or_else(|| Error::Malformed(format!("{at} is no time")))
}

/// Whether an instant from outside is one that broadcasts happen at; PostgreSQL refuses what is far beyond.
pub(crate) fn storable(instant: &DateTime<Utc>) -> bool {
    (1970..10_000).contains(&instant.year())
}

/// A wrong password does not become right by waiting.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        // 28: authorization; 3D: no such database.
        sqlx::Error::Database(error) => {
            !error.code().is_some_and(|code| code.starts_with("28") || code.starts_with("3D"))
        }
        sqlx::Error::Configuration(_) => false,
        _ => true,
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
