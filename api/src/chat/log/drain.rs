//! Takes messages from Redis to PostgreSQL. Replicas share the work (a consumer group), and what one has taken and not finished
//! another takes over.

use std::collections::HashSet;
use std::time::Duration;

use redis::streams::{StreamAutoClaimReply, StreamId as Entry, StreamInfoConsumersReply, StreamReadReply};
use redis::{AsyncCommands as _, RedisResult};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::redis::{PERSIST, Row};
use crate::chat::position::Position;
use crate::chat::store::{self, KeptRow};
use crate::database::within;
use crate::redis_store::RedisStore;

/// Works until `shutdown`; what it has taken and not written then, another replica takes over.
pub(crate) async fn drain(store: RedisStore, database: PgPool, shutdown: CancellationToken) {
    let me = Uuid::now_v7().simple().to_string();
    let mut grouped = false;
    let mut look_after_others = tokio::time::Instant::now();
    // Where the looks at what others have left go on, so that what stays there hides nothing behind it.
    let mut looked_up_to = BEGINNING.to_owned();
    while !shutdown.is_cancelled() {
        let mut connection = store.connection();
        let work = async {
            if !grouped {
                say_whether_it_lasts(&mut connection).await;
                group(&mut connection).await?;
                grouped = true;
            }
            if look_after_others.elapsed() >= OTHERS_EVERY {
                look_after_others = tokio::time::Instant::now();
                forget_idle(&mut connection, &me).await?;
                let left: StreamAutoClaimReply = connection
                    .xautoclaim_options(
                        PERSIST,
                        GROUP,
                        &me,
                        u64::try_from(ABANDONED.as_millis()).unwrap_or(u64::MAX),
                        &looked_up_to,
                        redis::streams::StreamAutoClaimOptions::default().count(BATCH),
                    )
                    .await?;
                looked_up_to = left.next_stream_id;
                if !left.claimed.is_empty() {
                    return Ok(left.claimed);
                }
            }
            let options = redis::streams::StreamReadOptions::default().group(GROUP, &me).count(BATCH);
            let new: Option<StreamReadReply> = connection.xread_options(&[PERSIST], &[">"], &options).await?;
            Ok(new.into_iter().flat_map(|new| new.keys).flat_map(|key| key.ids).collect::<Vec<_>>())
        };
        let taken: RedisResult<Vec<Entry>> = work.await;
        let pause = match taken {
            Ok(entries) if entries.is_empty() => EMPTY,
            Ok(entries) => {
                let Some(early) = keep(&database, &entries, &shutdown).await else {
                    // Not acknowledged: read anew from what this one has taken, by whoever comes first.
                    return;
                };
                match done(&mut connection, &entries, &early).await {
                    Ok(()) => continue,
                    Err(error) => {
                        tracing::debug!(%error, "written messages are not acknowledged yet");
                        AWAY
                    }
                }
            }
            Err(error) => {
                // Redis without its memory has no group either.
                grouped = false;
                BEGINNING.clone_into(&mut looked_up_to);
                tracing::debug!(%error, "Redis is not asked for messages to write just now");
                AWAY
            }
        };
        let _ = shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

type Connection = redis::aio::ConnectionManager;

/// What was accepted counts on Redis to outlive a loss of power. Some servers do not say.
async fn say_whether_it_lasts(connection: &mut Connection) {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("appendonly");
    let answer: RedisResult<Vec<String>> = ask.query_async(connection).await;
    if answer.is_ok_and(|answer| answer.get(1).is_some_and(|value| value == "no")) {
        tracing::warn!(
            "Redis (REDIS_URL) keeps nothing when it stops: chat messages that PostgreSQL does not have yet are lost then; \
             set appendonly to yes"
        );
    }
}

async fn group(connection: &mut Connection) -> RedisResult<()> {
    match connection.xgroup_create_mkstream::<_, _, _, ()>(PERSIST, GROUP, "0").await {
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        made => made,
    }
}

/// Consumers of replicas that are gone, once nothing of theirs is left.
async fn forget_idle(connection: &mut Connection, me: &str) -> RedisResult<()> {
    let all: StreamInfoConsumersReply = connection.xinfo_consumers(PERSIST, GROUP).await?;
    for other in all.consumers {
        let idle = Duration::from_millis(u64::try_from(other.idle).unwrap_or(u64::MAX));
        if other.name != me && other.pending == 0 && idle >= GONE {
            connection.xgroup_delconsumer::<_, _, _, ()>(PERSIST, GROUP, &other.name).await?;
        }
    }
    Ok(())
}

/// Until PostgreSQL has them, however long it does not take them; but for those that are returned, for which it has no day yet. None
/// when the process ends first.
async fn keep(database: &PgPool, entries: &[Entry], shutdown: &CancellationToken) -> Option<HashSet<Uuid>> {
    let rows: Vec<KeptRow> = entries.iter().filter_map(row_or_nothing).collect();
    let mut said = false;
    loop {
        let error = match insert(database, &rows).await {
            Ok(()) => return Some(HashSet::new()),
            Err(error) if store::is_refused_for_good(&error) || store::has_no_day(&error) => {
                tracing::warn!(%error, "messages are not accepted together; each is tried alone");
                match one_by_one(database, &rows).await {
                    Ok(early) => return Some(early),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // A server that was just promoted, a deadlock, a table that is away: all of them pass, or somebody mends them.
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(%error, "messages wait in Redis for PostgreSQL");
        }
        shutdown.run_until_cancelled(tokio::time::sleep(AWAY)).await?;
    }
}

async fn insert(database: &PgPool, rows: &[KeptRow]) -> Result<(), sqlx::Error> {
    let written = async {
        store::insert_rows(database, rows).await?;
        store::hide_banned(database, rows).await?;
        store::erase_of_deleted(database, rows).await
    };
    within(LONGEST, written).await
}

/// Loses what PostgreSQL will never take, such as a message of somebody whom a restored backup does not know: otherwise all
/// that come after it would wait for ever. Returns what has no day yet, by its id: no day is made for it, because a clock that is wrong
/// may name any day there is, and it waits in Redis while others pass it. The error of anything else that may be taken later.
async fn one_by_one(database: &PgPool, rows: &[KeptRow]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let mut early = HashSet::new();
    for row in rows {
        match insert(database, std::slice::from_ref(row)).await {
            Err(error) if store::is_refused_for_good(&error) => {
                tracing::error!(%error, message = %row.id, "a message cannot be kept, and is dropped");
            }
            Err(error) if store::has_no_day(&error) => {
                early.insert(row.id);
            }
            tried => tried?,
        }
    }
    if !early.is_empty() {
        tracing::warn!(
            messages = early.len(),
            "messages wait in Redis for a day that PostgreSQL has no table for; is the clock of a replica wrong?"
        );
    }
    Ok(early)
}

/// Acknowledges them, but for those that came too early: they are taken again with what others have left.
async fn done(connection: &mut Connection, entries: &[Entry], early: &HashSet<Uuid>) -> RedisResult<()> {
    let is_early =
        |entry: &&Entry| !early.is_empty() && row(entry).is_some_and(|row| early.contains(&row.id));
    let ids: Vec<&str> =
        entries.iter().filter(|entry| !is_early(entry)).map(|entry| entry.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    redis::pipe()
        .atomic()
        .xack(PERSIST, GROUP, &ids)
        .ignore()
        .xdel(PERSIST, &ids)
        .ignore()
        .query_async(connection)
        .await
}

fn row_or_nothing(entry: &Entry) -> Option<KeptRow> {
    let row = row(entry);
    if row.is_none() {
        tracing::error!(entry = entry.id, "what waits in Redis is no message, and is dropped");
    }
    row
}

fn row(entry: &Entry) -> Option<KeptRow> {
    let row: Row = serde_json::from_str(&entry.get::<String>("row")?).ok()?;
    let position = Position { epoch: entry.get("epoch")?, offset: entry.get("offset")? };
    Some(KeptRow {
        id: row.id,
        stream: row.stream,
        user: row.user,
        message: row.message,
        reply_to: row.reply_to,
        badges: row.badges,
        position,
    })
}

const GROUP: &str = "api";
/// From where XAUTOCLAIM looks, and what it answers at the end.
const BEGINNING: &str = "0-0";
/// Messages in one statement.
const BATCH: usize = 100;
/// Between two looks when there is nothing to write.
const EMPTY: Duration = Duration::from_millis(200);
/// Between two tries at what is away.
const AWAY: Duration = Duration::from_secs(1);
/// For PostgreSQL to take a batch, before it is tried again.
const LONGEST: Duration = Duration::from_secs(20);
/// Longer than PostgreSQL takes for a batch; a replica that waits for PostgreSQL is overtaken, which does no harm.
const ABANDONED: Duration = Duration::from_secs(30);
const OTHERS_EVERY: Duration = Duration::from_secs(10);
/// A replica that has not asked for so long is gone.
const GONE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_says_nothing_is_tried_again() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://ana@{}/caudal", silent.local_addr().unwrap());
        let options = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_secs(1_000));
        let began = tokio::time::Instant::now();
        assert!(insert(&options.connect_lazy(&url).unwrap(), &[]).await.is_err());
        assert!(began.elapsed() < ABANDONED, "{:?}", began.elapsed());
    }
}
