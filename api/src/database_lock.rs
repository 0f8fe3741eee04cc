//! One platform per database. Where the directory of streams is this machine's own, a second platform would take the
//! first one's broadcasts for lost, and end them for their viewers.

use std::collections::VecDeque;
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
    backend: Backend,
}

/// The process of PostgreSQL's at the other end of a connection.
type Backend = i32;

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
        let Reached { mut connection, was_away } = reached;
        let mut owner_first = was_away || others_are_at_work(&mut connection, shutdown).await?;
        let (mut said, mut refused) = (false, false);
        loop {
            if std::mem::take(&mut owner_first) {
                tracing::info!(
                    "a Caudal that used the database at {address} before has {} s to take it again",
                    OWNER_FIRST.as_secs()
                );
                wait(OWNER_FIRST, shutdown).await?;
            }
            let left = patience.saturating_sub(began.elapsed());
            let attempt = async {
                if !lock(&mut connection).await? {
                    return Ok(None);
                }
                if refused {
                    sqlx::query(RELEASE).bind(LOCK).execute(&mut connection).await?;
                }
                set_up(&mut connection).await.map(Some)
            };
            let answer = shutdown.run_until_cancelled(timeout(ANSWER_WITHIN, attempt)).await;
            match answer.ok_or(StartError::Stopped)? {
                // Its owner may have lost nothing but the connection that held it.
                Ok(Ok(Some(_))) if std::mem::take(&mut refused) => owner_first = true,
                Ok(Ok(Some(backend))) => {
                    let (options, address) = (options.clone(), address.to_owned());
                    return Ok(Self { options, address, connection, backend });
                }
                Ok(Ok(None)) if left.is_zero() => return Err(refusal(address, IN_USE)),
                Ok(Ok(None)) => {
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
                    // The connection of whoever has the database is likely to have broken as well.
                    owner_first = true;
                }
            }
        }
    }

    /// Holds the lock, and takes it again whenever the connection was lost, until another platform has had it for
    /// `patience`. Dropping this future releases the lock.
    pub(crate) async fn keep(self, patience: Duration) -> StartError {
        let Self { options, address, mut connection, backend } = self;
        let mut ours = Ours::default();
        ours.add(backend);
        loop {
            hold(connection).await;
            connection = match take_again(&options, &address, &mut ours, patience).await {
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

/// Tries for as long as the database is away; `None` when another platform has had the lock for `patience`.
async fn take_again(
    options: &PgConnectOptions,
    address: &str,
    ours: &mut Ours,
    patience: Duration,
) -> Option<PgConnection> {
    let mut open: Option<PgConnection> = None;
    let mut rival = Rival::default();
    let mut warned: Option<Instant> = None;
    loop {
        let attempt = async {
            let mut connection = if let Some(connection) = open.take() {
                connection
            } else {
                let mut connection = options.connect().await?;
                ours.add(set_up(&mut connection).await?);
                connection
            };
            let taken = lock(&mut connection).await?;
            let holder = if taken { None } else { holder(&mut connection).await? };
            Ok::<_, sqlx::Error>((connection, taken, holder))
        };
        let trouble = match timeout(ANSWER_WITHIN, attempt).await {
            Ok(Ok((connection, true, _))) => {
                if warned.is_some() {
                    tracing::info!("this Caudal has the database at {address} to itself again");
                }
                return Some(connection);
            }
            Ok(Ok((connection, false, holder))) => {
                open = Some(connection);
                let another = holder.is_some_and(|holder| !ours.has(holder));
                if rival.seen(another, Instant::now()) >= patience {
                    return None;
                }
                let holder = if another {
                    "another Caudal has"
                } else {
                    "PostgreSQL takes the lost connection to have"
                };
                format!("{holder} it")
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
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

/// The backends of connections that may have the lock without our knowing. PostgreSQL gives them up within
/// [`GIVE_UP_WITHIN_30_S`], so that the oldest may be forgotten.
#[derive(Default)]
struct Ours(VecDeque<Backend>);

impl Ours {
    fn add(&mut self, backend: Backend) {
        self.0.push_back(backend);
        if self.0.len() > MAX_OURS {
            self.0.pop_front();
        }
    }

    fn has(&self, backend: Backend) -> bool {
        self.0.contains(&backend)
    }
}

/// Whether the lock is this connection's now.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK).fetch_one(connection).await
}

/// Who has the lock, if anybody has.
async fn holder(connection: &mut PgConnection) -> sqlx::Result<Option<Backend>> {
    sqlx::query_scalar(HOLDER).bind(LOCK).fetch_optional(connection).await
}

/// Prepares a connection for holding the lock, and tells which backend it has.
async fn set_up(connection: &mut PgConnection) -> sqlx::Result<Backend> {
    match sqlx::query(GIVE_UP_WITHIN_30_S).execute(&mut *connection).await {
        Ok(_) => {}
        Err(error @ sqlx::Error::Database(_)) => tracing::warn!(
            %error,
            "PostgreSQL will be slow to notice if this machine loses its power, and keep the database locked"
        ),
        Err(error) => return Err(error),
    }
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(connection).await
}

/// Whether there are connections of an owner that has no lock: it may have lost just that one's a moment ago.
async fn others_are_at_work(
    connection: &mut PgConnection,
    shutdown: &CancellationToken,
) -> Result<bool, StartError> {
    let look = sqlx::query_scalar(OTHERS).fetch_one(connection);
    let answer = shutdown.run_until_cancelled(timeout(ANSWER_WITHIN, look)).await;
    // A connection that broke is seen, and replaced, by whoever uses it next.
    Ok(matches!(answer.ok_or(StartError::Stopped)?, Ok(Ok(true))))
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
const HOLDER: &str = "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1 \
     and database = (select oid from pg_database where datname = current_database()) \
     and classid::bigint = $1::bigint >> 32 and objid::bigint = $1::bigint & 4294967295";
const OTHERS: &str = "select exists (select from pg_stat_activity where datname = current_database() \
     and application_name = current_setting('application_name') and pid <> pg_backend_pid())";
/// More than are opened within 30 s.
const MAX_OURS: usize = 128;
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

    #[test]
    fn lost_connections_are_remembered_for_as_long_as_postgresql_may_take_one_to_have_the_lock() {
        let mut ours = Ours::default();
        for backend in 0..1_000 {
            ours.add(backend);
        }
        assert!(ours.has(999) && ours.has(880) && !ours.has(0));
    }
}
