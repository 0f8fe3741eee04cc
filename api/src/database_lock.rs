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
        let Reached { mut connection, was_away: mut owner_first } = reached;
        let (mut said, mut refused) = (false, false);
        loop {
            let left = patience.saturating_sub(began.elapsed());
            if std::mem::take(&mut owner_first) {
                tracing::info!(
                    "a Caudal that used the database at {address} before has {} s to take it again",
                    OWNER_FIRST.as_secs()
                );
                wait(OWNER_FIRST, shutdown).await?;
            }
            let attempt = async {
                let taken = lock(&mut connection).await?;
                if taken && refused {
                    sqlx::query(RELEASE).bind(LOCK).execute(&mut connection).await?;
                }
                Ok::<_, sqlx::Error>(taken)
            };
            let answer = shutdown.run_until_cancelled(timeout(ANSWER_WITHIN, attempt)).await;
            match answer.ok_or(StartError::Stopped)? {
                // Its owner may have lost nothing but the connection that held it.
                Ok(Ok(true)) if std::mem::take(&mut refused) => owner_first = true,
                Ok(Ok(true)) => {
                    return Ok(Self { options: options.clone(), address: address.to_owned(), connection });
                }
                Ok(Ok(false)) if began.elapsed() >= patience => return Err(refusal(address, IN_USE)),
                Ok(Ok(false)) => {
                    refused = true;
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
                    owner_first = true;
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
            connection = match take_again(&options, &address, patience).await {
                Some(connection) => connection,
                None => return refusal(&address, TAKEN),
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
async fn take_again(options: &PgConnectOptions, address: &str, patience: Duration) -> Option<PgConnection> {
    let mut open: Option<PgConnection> = None;
    let mut refusals = Refusals::default();
    let mut warned: Option<Instant> = None;
    loop {
        let attempt = async {
            let mut connection = match open.take() {
                Some(connection) => connection,
                None => options.connect().await?,
            };
            let taken = lock(&mut connection).await?;
            Ok::<_, sqlx::Error>((connection, taken))
        };
        let answer = match timeout(ANSWER_WITHIN, attempt).await {
            Ok(Ok((connection, true))) => {
                if warned.is_some() {
                    tracing::info!("this Caudal has the database at {address} to itself again");
                }
                return Some(connection);
            }
            Ok(Ok((connection, false))) => {
                open = Some(connection);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
        };
        let now = Instant::now();
        // For a while the one that has it may be our own lost connection, which PostgreSQL has not given up yet.
        if refusals.count(answer.is_ok(), now) >= patience {
            return None;
        }
        if let Err(error) = answer
            && warned.is_none_or(|at| now.duration_since(at) >= WARN_EVERY)
        {
            warned = Some(now);
            tracing::warn!(
                error,
                "the lock of the database at {address} cannot be taken again just now: nothing keeps another Caudal out of it"
            );
        }
        sleep(RETRY).await;
    }
}

/// Whether somebody else has the lock is told by refusals without a break: behind a failure, the next one may again be our
/// own lost connection's.
#[derive(Default)]
struct Refusals {
    since: Option<Instant>,
}

impl Refusals {
    /// Takes the outcome of an attempt, which failed where it was not `refused`, and tells how long refusals have lasted.
    fn count(&mut self, refused: bool, now: Instant) -> Duration {
        self.since = refused.then(|| self.since.unwrap_or(now));
        self.since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

/// Whether the lock is this connection's now.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let taken = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK)
        .fetch_one(&mut *connection)
        .await?;
    if taken && let Err(error) = sqlx::query(GIVE_UP_WITHIN_30_S).execute(connection).await {
        tracing::warn!(%error, "PostgreSQL will be slow to notice if this machine loses its power, and keep the database locked");
    }
    Ok(taken)
}

async fn wait(time: Duration, shutdown: &CancellationToken) -> Result<(), StartError> {
    shutdown.run_until_cancelled(sleep(time)).await.ok_or(StartError::Stopped)
}

fn refusal(address: &str, reason: &str) -> StartError {
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
const RELEASE: &str = "select pg_advisory_unlock($1)";
const RETRY: Duration = Duration::from_millis(250);
/// How late a lost connection is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const WARN_EVERY: Duration = Duration::from_mins(1);
/// Longer than the owner of the lock takes to notice that its connection is lost ([`LOOK_EVERY`], [`ANSWER_WITHIN`]) and
/// to connect anew.
const OWNER_FIRST: Duration = Duration::from_secs(8);
const IN_USE: &str = "another Caudal uses this database, and would lose its broadcasts to this one; stop it, or give this one a database of its own";
const TAKEN: &str = "another Caudal has taken this database, and each would end the other's broadcasts; stop that one before you start this one again, or give one of them a database of its own";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_fails_between_refusals_is_not_another_platform() {
        let begun = Instant::now();
        let mut refusals = Refusals::default();
        let mut count =
            |refused, second| refusals.count(refused, begun + Duration::from_secs(second)).as_secs();
        for (refused, second, lasted) in
            [(true, 1, 0), (true, 30, 29), (false, 31, 0), (true, 60, 0), (true, 105, 45), (false, 106, 0)]
        {
            assert_eq!(count(refused, second), lasted, "at {second} s");
        }
    }
}
