//! A partition for each day (UTC): made ahead of time, dropped when nobody reads them any more.

use std::time::Duration;

use chrono::{Days, NaiveDate, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;

/// Makes the partitions of the coming days, and drops old ones. Replicas may do the same at the same time.
///
/// # Errors
/// When PostgreSQL does not do it.
pub(crate) async fn tidy(database: &PgPool, today: NaiveDate) -> Result<(), sqlx::Error> {
    let there = sqlx::query_scalar!(
        r#"select c.relname::text as "name!" from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'chat_messages'::regclass order by c.relname"#
    )
    .fetch_all(database)
    .await?;
    // From yesterday on: a replica's clock may be behind.
    let days = today.pred_opt().into_iter().flat_map(|yesterday| yesterday.iter_days()).take(DAYS_MADE);
    for day in days.filter(|day| !there.contains(&name_of(*day))) {
        make(database, day).await?;
    }
    let Some(oldest) = today.checked_sub_days(Days::new(DAYS_KEPT)) else { return Ok(()) };
    for name in there.iter().filter(|name| day_of(name).is_some_and(|day| day < oldest)) {
        drop_partition(database, name).await;
    }
    Ok(())
}

/// Does that each hour, until `shutdown`.
pub(crate) async fn keep(database: PgPool, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Err(error) = tidy(&database, Utc::now().date_naive()).await {
            tracing::warn!(%error, "chat's days could not be made or dropped; tried again in an hour");
        }
    }
}

async fn make(database: &PgPool, day: NaiveDate) -> Result<(), sqlx::Error> {
    let Some(next) = day.succ_opt() else { return Ok(()) };
    // Names and dates are our own.
    let statement = format!(
        "create table {} partition of chat_messages for values from ('{day} 00:00:00+00') to ('{next} 00:00:00+00')",
        name_of(day)
    );
    match sqlx::query(AssertSqlSafe(statement)).execute(database).await {
        // Two replicas at once: the other one has made it.
        Err(sqlx::Error::Database(refusal))
            if matches!(refusal.code().as_deref(), Some("42P07" | "23505" | "42P17")) =>
        {
            Ok(())
        }
        made => made.map(drop),
    }
}

/// Gives up soon where somebody reads the table, because all others would wait behind; the next hour tries again.
async fn drop_partition(database: &PgPool, name: &str) {
    let dropped = async {
        let mut tx = database.begin().await?;
        sqlx::query("set local lock_timeout = '2s'").execute(&mut *tx).await?;
        sqlx::query(AssertSqlSafe(format!("drop table if exists {name}"))).execute(&mut *tx).await?;
        tx.commit().await
    };
    match dropped.await {
        Ok(()) => tracing::info!(name, "a day of chat is old enough to be dropped"),
        Err(error) => tracing::info!(%error, name, "a day of chat could not be dropped yet"),
    }
}

fn name_of(day: NaiveDate) -> String {
    format!("chat_messages_{}", day.format("%Y%m%d"))
}

fn day_of(name: &str) -> Option<NaiveDate> {
    let day = NaiveDate::parse_from_str(name.strip_prefix("chat_messages_")?, "%Y%m%d").ok()?;
    // `%d` takes one digit too.
    (name_of(day) == name).then_some(day)
}

/// Yesterday, today and two weeks ahead.
const DAYS_MADE: usize = 16;
/// Longer than anybody looks back.
const DAYS_KEPT: u64 = 30;
const EVERY: Duration = Duration::from_secs(3_600);

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
