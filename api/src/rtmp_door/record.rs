//! What the looks at the door found, by hours, and whose turn it is to look.

use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use sqlx::PgPool;
use uuid::Uuid;

/// A replica, and for how long it may look alone once it was its turn.
pub(super) struct Turn {
    pub(super) replica: Uuid,
    pub(super) lasts: Duration,
}

/// Whether it is this replica's turn, and keeps others from it if so.
pub(super) async fn take(database: &PgPool, turn: &Turn) -> Result<bool, sqlx::Error> {
    // By the database's clock alone: replicas' own are a little apart.
    let taken = sqlx::query!(
        "insert into rtmp_prober as held (replica, leased_until) values ($1, now() + make_interval(secs => $2))
         on conflict (only_row) do update set replica = excluded.replica, leased_until = excluded.leased_until
         where held.replica = excluded.replica or held.leased_until <= now()",
        turn.replica,
        turn.lasts.as_secs_f64()
    )
    .execute(database)
    .await?;
    Ok(taken.rows_affected() > 0)
}

/// Writes down what was found, unless it is another replica's turn by now, which writes what it finds itself.
pub(super) async fn found(
    database: &PgPool,
    turn: &Turn,
    up: bool,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with found as (
             update rtmp_prober set up = $2, probed_at = now() where replica = $1 returning $2::bool::int as up
         )
         insert into rtmp_uptime as kept (hour, probes, up) select $3, 1, up from found
         on conflict (hour) do update set probes = kept.probes + 1, up = kept.up + excluded.up",
        turn.replica,
        up,
        hour(now)
    )
    .execute(database)
    .await?;
    Ok(())
}

/// What was found last, by whichever replica; none when that is longer ago than `lately`.
pub(super) async fn up(database: &PgPool, lately: Duration) -> Result<Option<bool>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select up as "up!" from rtmp_prober
           where up is not null and probed_at > now() - make_interval(secs => $1)"#,
        lately.as_secs_f64()
    );
    found.fetch_optional(database).await
}

/// The share of the last 30 days' looks that found the door open; none where nobody has looked.
pub(crate) async fn uptime(database: &PgPool, now: DateTime<Utc>) -> Result<Option<f64>, sqlx::Error> {
    let kept = sqlx::query!(
        r#"select coalesce(sum(probes), 0)::int as "probes!", coalesce(sum(up), 0)::int as "up!"
           from rtmp_uptime where hour > $1"#,
        now - WINDOW
    )
    .fetch_one(database)
    .await?;
    Ok((kept.probes > 0).then(|| f64::from(kept.up) / f64::from(kept.probes)))
}

/// Removes what lies before the window.
pub(crate) async fn forget_old(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    // A replica whose clock is ahead takes nothing away that is young.
    sqlx::query!("delete from rtmp_uptime where hour <= least($1, now() - interval '30 days')", now - WINDOW)
        .execute(database)
        .await?;
    Ok(())
}

/// The hour's beginning. All time zones would do, as long as it is always the same.
fn hour(now: DateTime<Utc>) -> DateTime<Utc> {
    now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now)
}

/// In whole hours: of the oldest hour, all or nothing counts.
const WINDOW: TimeDelta = TimeDelta::days(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::bring_up_to_date;
    use crate::test_database::TestDatabase;

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    fn turn(replica: u128, seconds: u64) -> Turn {
        Turn { replica: Uuid::from_u128(replica), lasts: Duration::from_secs(seconds) }
    }

    async fn database() -> TestDatabase {
        let database = TestDatabase::create().await;
        bring_up_to_date(&database.pool).await.unwrap();
        database
    }

    #[test]
    fn an_hour_begins_with_its_first_moment() {
        for (time, beginning) in [
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-02-28T23:59:59.999999Z", "2026-02-28T23:00:00Z"),
            ("1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z"),
        ] {
            assert_eq!(hour(at(time)), at(beginning), "{time}");
        }
    }

    #[tokio::test]
    async fn looks_are_counted_by_hours_and_of_30_days() {
        let database = database().await;
        let pool = &database.pool;
        let mine = turn(1, 3600);
        assert_eq!(uptime(pool, at("2026-03-31T12:00:00Z")).await.unwrap(), None);
        assert!(take(pool, &mine).await.unwrap());
        for (time, up) in [
            ("2026-03-01T11:59:59Z", false),
            ("2026-03-01T12:00:00Z", false),
            ("2026-03-01T12:59:59Z", true),
            ("2026-03-31T11:00:00Z", true),
            ("2026-03-31T11:00:15Z", true),
        ] {
            found(pool, &mine, up, at(time)).await.unwrap();
        }
        let rows: Vec<(DateTime<Utc>, i32, i32)> =
            sqlx::query_as("select hour, probes, up from rtmp_uptime order by hour")
                .fetch_all(pool)
                .await
                .unwrap();
        let hours = [
            (at("2026-03-01T11:00:00Z"), 1, 0),
            (at("2026-03-01T12:00:00Z"), 2, 1),
            (at("2026-03-31T11:00:00Z"), 2, 2),
        ];
        assert_eq!(rows, hours);
        for (now, share) in [
            ("2026-03-31T10:59:59Z", Some(3.0 / 5.0)),
            ("2026-03-31T11:00:00Z", Some(3.0 / 4.0)),
            ("2026-03-31T11:59:59Z", Some(3.0 / 4.0)),
            ("2026-03-31T12:00:00Z", Some(1.0)),
            ("2026-04-30T11:00:00Z", None),
        ] {
            assert_eq!(uptime(pool, at(now)).await.unwrap(), share, "{now}");
        }
        forget_old(pool, at("2026-03-31T12:00:00Z")).await.unwrap();
        database.says("select count(*) = 1 and sum(probes) = 2 from rtmp_uptime").await;
    }

    #[tokio::test]
    async fn one_looks_at_a_time_and_another_when_nothing_is_heard_of_it() {
        let database = database().await;
        let pool = &database.pool;
        let (first, second) = (turn(1, 3600), turn(2, 3600));
        assert_eq!(up(pool, first.lasts).await.unwrap(), None);
        assert!(take(pool, &first).await.unwrap());
        assert_eq!(up(pool, first.lasts).await.unwrap(), None, "nobody has looked yet");
        assert!(!take(pool, &second).await.unwrap());
        assert!(take(pool, &first).await.unwrap());
        let now = at("2026-03-31T12:00:00Z");
        found(pool, &second, false, now).await.unwrap();
        assert_eq!(uptime(pool, now).await.unwrap(), None, "whose turn it is not changes nothing");
        found(pool, &first, true, now).await.unwrap();
        assert_eq!(
            (up(pool, first.lasts).await.unwrap(), uptime(pool, now).await.unwrap()),
            (Some(true), Some(1.0))
        );
        // As if an hour had passed.
        database
            .execute("update rtmp_prober set leased_until = now(), probed_at = now() - interval '1 hour'")
            .await;
        assert_eq!(up(pool, first.lasts).await.unwrap(), None, "what was found is long ago");
        assert!(take(pool, &second).await.unwrap());
        assert!(!take(pool, &first).await.unwrap());
        found(pool, &first, true, now).await.unwrap();
        found(pool, &second, false, now).await.unwrap();
        assert_eq!(
            (up(pool, first.lasts).await.unwrap(), uptime(pool, now).await.unwrap()),
            (Some(false), Some(0.5))
        );
    }
}
