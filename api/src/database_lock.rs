//! One platform per database. Where the directory of streams is this machine's own, a second platform would take the
//! first one's broadcasts for lost, and end them for their viewers.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgExecutor, PgPool};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::database::{Reached, reach};
use crate::error::is_outage;
use crate::start_error::StartError;

/// An advisory lock, held over a connection of its own: PostgreSQL releases it when the connection ends.
pub(crate) struct DatabaseLock {
    platform: Platform,
    connection: PgConnection,
}

/// Who wants the lock, of which database.
struct Platform {
    options: PgConnectOptions,
    address: String,
    /// A second lock's number, random, which all connections of this platform's share: whoever has the first lock and not
    /// this one is somebody else. A backend's process id would not tell, as poolers and restarts give it to others.
    identity: i64,
}

/// What came of an attempt to take the lock.
enum Attempt {
    Taken,
    /// It was free, and is again: its owner may have lost nothing but the connection that held it.
    LeftToOwner,
    Refused,
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
        let platform =
            Platform { options: options.clone(), address: address.to_owned(), identity: rand::random() };
        let Reached { mut connection, was_away: mut owner_first } = reached;
        let (mut is_set_up, mut owner_had_time, mut said, mut refused) = (false, false, false, false);
        loop {
            if std::mem::take(&mut owner_first) {
                tracing::info!(
                    "a Caudal that used the database at {address} before has {} s to take it again",
                    OWNER_FIRST.as_secs()
                );
                wait(OWNER_FIRST, shutdown).await?;
                owner_had_time = true;
            }
            let left = patience.saturating_sub(began.elapsed());
            let attempt = async {
                if !is_set_up {
                    platform.set_up(&mut connection).await?;
                    is_set_up = true;
                }
                if !lock(&mut connection).await? {
                    return Ok(Attempt::Refused);
                }
                if refused || (!owner_had_time && others_are_at_work(&mut connection).await?) {
                    sqlx::query(RELEASE).bind(LOCK).execute(&mut connection).await?;
                    return Ok(Attempt::LeftToOwner);
                }
                Ok(Attempt::Taken)
            };
            let answer = shutdown.run_until_cancelled(timeout(ANSWER_WITHIN, attempt)).await;
            match answer.ok_or(StartError::Stopped)? {
                Ok(Ok(Attempt::Taken)) => return Ok(Self { platform, connection }),
                Ok(Ok(Attempt::LeftToOwner)) => {
                    refused = false;
                    owner_first = true;
                }
                Ok(Ok(Attempt::Refused)) if left.is_zero() => return Err(refusal(address, IN_USE)),
                Ok(Ok(Attempt::Refused)) => {
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
                    // At once, as PostgreSQL may have given the lock to it.
                    drop(connection);
                    connection = reach(options, address, left, shutdown).await?.connection;
                    is_set_up = false;
                    // The connection of whoever has the database is likely to have broken as well.
                    owner_first = true;
                }
            }
        }
    }

    /// Holds the lock, and takes it again whenever the connection was lost, until another platform has had it for
    /// `patience`. Where no new connection can be made, the `pool` is asked who has it. Dropping this future releases the
    /// lock.
    pub(crate) async fn keep(self, pool: PgPool, patience: Duration) -> StartError {
        let Self { platform, mut connection } = self;
        loop {
            hold(connection).await;
            connection = match platform.take_again(&pool, patience).await {
                Some(connection) => connection,
                None => return refusal(&platform.address, TAKEN),
            };
        }
    }
}

impl Platform {
    /// Tries for as long as the database is away; `None` when another platform has had the lock for `patience`.
    async fn take_again(&self, pool: &PgPool, patience: Duration) -> Option<PgConnection> {
        let address = &self.address;
        let mut open: Option<PgConnection> = None;
        let mut rival = Rival::default();
        let mut warned: Option<Instant> = None;
        loop {
            let attempt = async {
                let mut connection = if let Some(connection) = open.take() {
                    connection
                } else {
                    let mut connection = self.options.connect().await?;
                    self.set_up(&mut connection).await?;
                    connection
                };
                let taken = lock(&mut connection).await?;
                let another = !taken && self.another_has_it(&mut connection).await?;
                Ok::<_, sqlx::Error>((connection, taken, another))
            };
            let (another, trouble) = match timeout(ANSWER_WITHIN, attempt).await {
                Ok(Ok((connection, true, _))) => {
                    if warned.is_some() {
                        tracing::info!("this Caudal has the database at {address} to itself again");
                    }
                    return Some(connection);
                }
                Ok(Ok((connection, false, another))) => {
                    open = Some(connection);
                    let holder = if another {
                        "another Caudal has"
                    } else {
                        "PostgreSQL takes the lost connection to have"
                    };
                    (Some(another), format!("{holder} it"))
                }
                Ok(Err(error)) => (self.ask(pool).await, error.to_string()),
                Err(_) => (self.ask(pool).await, format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
            };
            if another.is_some_and(|another| rival.seen(another, Instant::now()) >= patience) {
                return None;
            }
            if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                warned = Some(Instant::now());
                tracing::warn!(
                    trouble,
                    "the lock of the database at {address} is lost and cannot be taken again just now: nothing keeps another Caudal out"
                );
            }
            sleep(RETRY).await;
        }
    }

    /// Prepares a connection for holding the lock, before it can have it.
    async fn set_up(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        match sqlx::query(GIVE_UP_WITHIN_30_S).execute(&mut *connection).await {
            Ok(_) => {}
            Err(error @ sqlx::Error::Database(_)) => tracing::warn!(
                %error,
                "PostgreSQL will be slow to notice if this machine loses its power, and keep the database locked"
            ),
            Err(error) => return Err(error),
        }
        sqlx::query(IDENTIFY).bind(self.identity).execute(connection).await?;
        Ok(())
    }

    /// Whether somebody else has the lock; not, if nobody or a connection of ours that PostgreSQL has not given up yet.
    async fn another_has_it(&self, connection: impl PgExecutor<'_>) -> sqlx::Result<bool> {
        sqlx::query_scalar(ANOTHER_HAS_IT).bind(LOCK).bind(self.identity).fetch_one(connection).await
    }

    /// The same over the pool; `None` where that has no connection either.
    async fn ask(&self, pool: &PgPool) -> Option<bool> {
        timeout(ANSWER_WITHIN, self.another_has_it(pool)).await.ok()?.ok()
    }
}

/// Until the connection is lost. It is closed then, so that PostgreSQL, if it still has its end, releases the lock.
async fn hold(mut connection: PgConnection) {
    while let Ok(Ok(())) = timeout(ANSWER_WITHIN, connection.ping()).await {
        sleep(LOOK_EVERY).await;
    }
}

/// Another platform that has the lock. Attempts that fail tell nothing of it.
#[derive(Default)]
struct Rival {
    since: Option<Instant>,
}

impl Rival {
    /// Takes whether it is another one that has the lock, and tells for how long that has been so.
    fn seen(&mut self, another: bool, now: Instant) -> Duration {
        self.since = another.then(|| self.since.unwrap_or(now));
        self.since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

/// Whether the lock is this connection's now.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK).fetch_one(connection).await
}

/// Whether a platform has connections to the database, which may have lost just its lock's a moment ago.
async fn others_are_at_work(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(OTHERS).fetch_one(connection).await
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
const ANOTHER_HAS_IT: &str = "select exists (select from pg_locks held where locktype = 'advisory' and granted and objsubid = 1 \
     and database = (select oid from pg_database where datname = current_database()) \
     and classid::bigint << 32 | objid::bigint = $1 and not exists (select from pg_locks ours \
     where ours.pid = held.pid and ours.locktype = 'advisory' and ours.granted and ours.objsubid = 1 \
     and ours.classid::bigint << 32 | ours.objid::bigint = $2))";
const IDENTIFY: &str = "select pg_advisory_lock_shared($1)";
const OTHERS: &str = "select exists (select from pg_stat_activity where datname = current_database() \
     and application_name = current_setting('application_name') and pid <> pg_backend_pid())";
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
    fn only_another_platform_that_has_the_lock_without_a_break_ends_its_owner() {
        let begun = Instant::now();
        let mut rival = Rival::default();
        for (another, second, lasted) in [
            (false, 1, 0),
            (false, 40, 0),
            (true, 41, 0),
            (true, 50, 9),
            (false, 51, 0),
            (true, 52, 0),
            (true, 70, 18),
        ] {
            let for_how_long = rival.seen(another, begun + Duration::from_secs(second));
            assert_eq!(for_how_long.as_secs(), lasted, "at {second} s");
        }
    }
}
