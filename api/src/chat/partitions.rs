//! A partition for each day (UTC): made ahead of time, dropped when nobody reads them any more. Which day it is PostgreSQL says, to all
//! replicas the same: one whose own clock is weeks ahead would drop everything.

use std::time::Duration;

use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::database::within;

/// Makes the partitions of the coming days, before the first message. What cannot be made just now is left to [`keep`], unless messages
/// of today would have nowhere to go: then it is tried again for as long as `patience`.
///
/// # Errors
/// When there is no partition of today by then.
pub(crate) async fn prepare(database: &PgPool, patience: Duration) -> Result<(), sqlx::Error> {
    let began = Instant::now();
    loop {
        let today = today(database).await?;
        let Err(error) = make_coming(database, today).await else { return Ok(()) };
        if there(database).await?.contains(&name_of(today)) {
            tracing::warn!(%error, "chat's coming days cannot be made just now; tried again in an hour");
            return Ok(());
        }
        if began.elapsed() >= patience {
            return Err(error);
        }
        sleep(PAUSE).await;
    }
}

/// Makes coming partitions and drops old ones, at once and then each hour, until `shutdown`. Replicas may do the same at the same time.
pub(crate) async fn keep(database: PgPool, shutdown: CancellationToken) {
    let keeping = async {
        loop {
            if let Err(error) = within(LONGEST, Box::pin(tidy(&database))).await {
                tracing::warn!(%error, "chat's days could not be made or dropped; tried again in an hour");
            }
            sleep(EVERY).await;
        }
    };
    shutdown.run_until_cancelled(keeping).await;
}

async fn tidy(database: &PgPool) -> Result<(), sqlx::Error> {
    let today = today(database).await?;
    make_coming(database, today).await?;
    let Some(oldest) = today.checked_sub_days(Days::new(DAYS_KEPT)) else { return Ok(()) };
    for name in there(database).await?.iter().filter(|name| day_of(name).is_some_and(|day| day < oldest)) {
        drop_partition(database, name).await?;
        tracing::info!(name, "a day of chat was old enough to be dropped");
    }
    Ok(())
}

/// By PostgreSQL's clock.
async fn today(database: &PgPool) -> Result<NaiveDate, sqlx::Error> {
    sqlx::query_scalar("select (now() at time zone 'utc')::date").fetch_one(database).await
}

/// The names of all partitions. Waits for nobody who has the table.
async fn there(database: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select c.relname::text as "name!" from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'chat_messages'::regclass order by c.relname"#
    )
    .fetch_all(database)
    .await
}

/// Those that are missing: today's first, and yesterday's too, because a replica's clock, which messages have their times from, may be behind.
async fn make_coming(database: &PgPool, today: NaiveDate) -> Result<(), sqlx::Error> {
    let there = there(database).await?;
    let days = today.iter_days().take(DAYS_MADE).chain(today.pred_opt());
    for day in days.filter(|day| !there.contains(&name_of(*day))) {
        match make(database, day).await {
            // Two replicas at once: the other one has made it.
            Err(sqlx::Error::Database(refusal))
                if matches!(refusal.code().as_deref(), Some("42P07" | "23505" | "42P17")) => {}
            made => made?,
        }
    }
    Ok(())
}

/// A table of its own first, which is then attached: `create table … partition of` would wait for everybody who reads the whole, such as
/// a backup, and all who come after would wait behind it. Attaching waits for neither readers nor writers of chat; its foreign keys wait
/// for writers of streams and people, and give up soon, for the same reason.
async fn make(database: &PgPool, day: NaiveDate) -> Result<(), sqlx::Error> {
    let Some(next) = day.succ_opt() else { return Ok(()) };
    let name = name_of(day);
    // Names and dates are our own.
    let create = format!("create table {name} (like chat_messages including defaults)");
    let attach = format!(
        "alter table chat_messages attach partition {name}
         for values from ('{day} 00:00:00+00') to ('{next} 00:00:00+00')"
    );
    let mut tx = database.begin().await?;
    sqlx::query(GIVE_UP_SOON).execute(&mut *tx).await?;
    sqlx::query(AssertSqlSafe(create)).execute(&mut *tx).await?;
    sqlx::query(AssertSqlSafe(attach)).execute(&mut *tx).await?;
    tx.commit().await
}

/// Gives up soon where somebody reads the table, because all others would wait behind; the next hour tries again.
async fn drop_partition(database: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    let mut tx = database.begin().await?;
    sqlx::query(GIVE_UP_SOON).execute(&mut *tx).await?;
    sqlx::query(AssertSqlSafe(format!("drop table if exists {name}"))).execute(&mut *tx).await?;
    tx.commit().await
}

fn name_of(day: NaiveDate) -> String {
    format!("chat_messages_{}", day.format("%Y%m%d"))
}

fn day_of(name: &str) -> Option<NaiveDate> {
    let day = NaiveDate::parse_from_str(name.strip_prefix("chat_messages_")?, "%Y%m%d").ok()?;
    // `%d` takes one digit too.
    (name_of(day) == name).then_some(day)
}

const GIVE_UP_SOON: &str = "set local lock_timeout = '2s'";
/// Today and two weeks ahead.
const DAYS_MADE: usize = 15;
/// Longer than anybody looks back.
const DAYS_KEPT: u64 = 30;
const EVERY: Duration = Duration::from_secs(3_600);
/// For all that is to be made and dropped, each of which waits for its lock some seconds at most.
const LONGEST: Duration = Duration::from_mins(5);
/// Between two tries of a start.
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_known_by_its_day() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 30).unwrap();
        assert_eq!(name_of(day), "chat_messages_20261130");
        assert_eq!(day_of(&name_of(day)), Some(day));
        for other in
            ["chat_messages", "chat_messages_", "chat_messages_2026113", "chat_messages_default", "users"]
        {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
