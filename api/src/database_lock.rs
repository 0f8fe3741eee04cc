//! One platform per database. Where the directory of streams is this machine's own, a second platform would take the
//! first one's broadcasts for lost, and end them for their viewers.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::database::{Reached, reach};
use crate::error::{StartError, is_outage};

/// An advisory lock, held over a connection of its own: PostgreSQL releases it when the connection ends.
pub(crate) struct DatabaseLock {
    options: PgConnectOptions,
    address: String,
    connection: PgConnection,
}

impl DatabaseLock {
    /// Takes the lock over the connection that was `reached`, waiting up to `patience` for a predecessor that has just
    /// ended. `address` appears in messages.
    pub(crate) async fn take(
        options: &PgConnectOptions,
        address: &str,
        reached: Reached,
        patience: Duration,
        shutdown: &CancellationToken,
    ) -> Result<Self, StartError> {
        let began = Instant::now();
        let Reached { mut connection, mut was_away } = reached;
        let mut said = false;
        loop {
            let left = patience.saturating_sub(began.elapsed());
            if std::mem::take(&mut was_away) {
                let pause = OWNER_FIRST.min(left);
                tracing::info!(
                    "PostgreSQL at {address} was away: a Caudal that used this database before has {} s to take it again",
                    pause.as_secs()
                );
                wait(pause, shutdown).await?;
            }
            let answer = shutdown.run_until_cancelled(timeout(ANSWER_WITHIN, lock(&mut connection))).await;
            match answer.ok_or(StartError::Stopped)? {
                Ok(Ok(true)) => {
                    return Ok(Self { options: options.clone(), address: address.to_owned(), connection });
                }
                Ok(Ok(false)) if began.elapsed() >= patience => return Err(refused(address, IN_USE)),
                Ok(Ok(false)) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(
                            "another Caudal uses the database at {address}; waiting for its end for {} s",
                            left.as_secs()
                        );
                    }
                    wait(RETRY, shutdown).await?;
                }
                Ok(Err(error)) if !is_outage(&error) => return Err(error.into()),
                Ok(Err(_)) | Err(_) if left.is_zero() => {
                    return Err(StartError::DatabaseUnreachable {
                        address: address.to_owned(),
                        waited: began.elapsed(),
                        reason: "the connection broke".to_owned(),
                    });
                }
                Ok(Err(_)) | Err(_) => {
                    connection = reach(options, address, left, shutdown).await?.connection;
                    // The connection of whoever has the database is likely to have broken as well.
                    was_away = true;
                }
            }
        }
    }

    /// Holds the lock, and takes it again whenever the connection was lost, until it has been refused for `patience`:
    /// another platform has the database then. Dropping this future releases the lock.
    pub(crate) async fn keep(self, patience: Duration) -> StartError {
        let Self { options, address, mut connection } = self;
        loop {
            hold(connection).await;
            connection = match take_again(&options, patience).await {
                Some(connection) => connection,
                None => return refused(&address, TAKEN),
            };
        }
    }
}

/// Until the connection is lost. It is closed then, so that PostgreSQL, if it still has its end, releases the lock.
async fn hold(mut connection: PgConnection) {
    while let Ok(Ok(())) = timeout(ANSWER_WITHIN, connection.ping()).await {
        sleep(LOOK_EVERY).await;
    }
}

/// Tries for as long as the database is away; `None` when the lock has been refused for `patience`.
async fn take_again(options: &PgConnectOptions, patience: Duration) -> Option<PgConnection> {
    let mut open: Option<PgConnection> = None;
    let mut refused_since: Option<Instant> = None;
    loop {
        let attempt = async {
            let mut connection = match open.take() {
                Some(connection) => connection,
                None => options.connect().await?,
            };
            let taken = lock(&mut connection).await?;
            Ok::<_, sqlx::Error>((connection, taken))
        };
        let answer = timeout(ANSWER_WITHIN, attempt).await;
        match answer {
            Ok(Ok((connection, true))) => return Some(connection),
            Ok(Ok((connection, false))) => {
                // For a while this may be our own lost connection, which PostgreSQL has not given up yet.
                if refused_since.get_or_insert_with(Instant::now).elapsed() >= patience {
                    return None;
                }
                open = Some(connection);
            }
            // That the database is away is said by whatever else needs it.
            Ok(Err(_)) | Err(_) => {}
        }
        sleep(RETRY).await;
    }
}

/// Whether the lock is this connection's now.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let taken = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK)
        .fetch_one(&mut *connection)
        .await?;
    if taken {
        sqlx::query(GIVE_UP_WITHIN_30_S).execute(connection).await?;
    }
    Ok(taken)
}

async fn wait(time: Duration, shutdown: &CancellationToken) -> Result<(), StartError> {
    shutdown.run_until_cancelled(sleep(time)).await.ok_or(StartError::Stopped)
}

fn refused(address: &str, reason: &str) -> StartError {
    StartError::DatabaseRefused { address: address.to_owned(), reason: reason.to_owned() }
}

/// "caudal", so that whoever looks into `pg_locks` can tell.
const LOCK: i64 = 0x6361_7564_616C;
/// For the server's end of this connection. A machine that lost its power does not close its connections: without these
/// the server would hold the lock for two hours, and with an answer on its way for a quarter of an hour. Set here and not
/// when connecting, because poolers such as `PgBouncer` refuse startup parameters that they do not know.
const GIVE_UP_WITHIN_30_S: &str = "select set_config('tcp_keepalives_idle', '15', false), \
     set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false), \
     set_config('tcp_user_timeout', '30000', false)";
const RETRY: Duration = Duration::from_millis(250);
/// How late a lost connection is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longer than the owner of the lock takes to notice that its connection is lost ([`LOOK_EVERY`], [`ANSWER_WITHIN`]) and
/// to connect anew.
const OWNER_FIRST: Duration = Duration::from_secs(8);
const IN_USE: &str = "another Caudal uses this database, and would lose its broadcasts to this one; stop it, or give this one a database of its own";
const TAKEN: &str = "another Caudal has taken this database, and each would end the other's broadcasts; stop that one before you start this one again, or give one of them a database of its own";
