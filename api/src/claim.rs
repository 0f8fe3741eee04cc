//! One platform a database. Where the directory of streams is this machine's own, a second platform would take the first
//! one's broadcasts for lost, and end them for their viewers.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::StartError;

/// Holds the database for this process: PostgreSQL gives the lock back when the connection ends.
pub(crate) struct Claim {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl Claim {
    /// Takes the database, waiting up to `patience` for a predecessor that has just ended. `address` is for words.
    pub(crate) async fn take(
        options: &PgConnectOptions,
        address: &str,
        patience: Duration,
        shutdown: &CancellationToken,
    ) -> Result<Self, StartError> {
        // A machine that lost its power says no good-bye: without these the server would wait for two hours.
        let options = options.clone().options([
            ("tcp_keepalives_idle", "15"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ]);
        let mut connection = options.connect().await?;
        let began = Instant::now();
        let mut said = false;
        while !lock(&mut connection).await? {
            if began.elapsed() >= patience {
                return Err(StartError::DatabaseRefused {
                    address: address.to_owned(),
                    reason: "another Caudal uses this database, and would lose its broadcasts to this one; stop it, or give this one a database of its own".to_owned(),
                });
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(
                    "another Caudal uses the database at {address}; waiting for its end for {} s",
                    patience.as_secs()
                );
            }
            if shutdown.run_until_cancelled(sleep(RETRY)).await.is_none() {
                return Err(StartError::Stopped);
            }
        }
        Ok(Self { options, connection: Some(connection) })
    }

    /// Holds on to it until `shutdown`, and takes it again whenever the database was away.
    pub(crate) async fn keep(mut self, shutdown: CancellationToken) {
        let mut warned = false;
        while shutdown.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
            match timeout(ANSWER_WITHIN, self.look()).await {
                Ok(Ok(true)) => warned = false,
                Ok(Ok(false)) => {
                    self.connection = None;
                    if !std::mem::replace(&mut warned, true) {
                        tracing::error!(
                            "another Caudal has taken this database: stop one of the two, or each ends the other's broadcasts"
                        );
                    }
                }
                // The api says that the database is away.
                Ok(Err(_)) | Err(_) => self.connection = None,
            }
        }
        if let Some(connection) = self.connection {
            // The process ends anyway.
            let _ = timeout(ANSWER_WITHIN, connection.close()).await;
        }
    }

    /// Whether the database is still ours, or is again.
    async fn look(&mut self) -> sqlx::Result<bool> {
        if let Some(connection) = &mut self.connection {
            return connection.ping().await.map(|()| true);
        }
        let connection = self.connection.insert(self.options.connect().await?);
        lock(connection).await
    }
}

async fn lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK).fetch_one(connection).await
}

/// "caudal", so that whoever looks into `pg_locks` can tell.
const LOCK: i64 = 0x6361_7564_616C;
const RETRY: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
