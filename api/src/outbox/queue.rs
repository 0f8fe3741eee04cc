//! The table of jobs. A claim is a lease, not a lock: no connection is held while a job is done, and the jobs of a process
//! that died are done by another once their leases are over.

use std::time::Duration;

use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::job::{Job, Lane};
use super::perform::Outcome;
use super::turns::Busy;
use crate::error::Error;

/// What is to be done once the transaction is committed.
pub(crate) async fn put(db: &mut PgConnection, job: &Job) -> Result<(), Error> {
    let (topic, payload) = columns(job)?;
    sqlx::query!(
        "insert into outbox (id, lane, topic, payload) values ($1, $2, $3, $4)",
        Uuid::now_v7(),
        job.lane().as_str(),
        topic,
        payload
    )
    .execute(&mut *db)
    .await?;
    // Delivered with the commit, and once however often it is said before.
    sqlx::query(NOTIFY).execute(db).await?;
    Ok(())
}

/// A job that asks a host.
pub(crate) struct Targeted {
    pub(crate) id: Uuid,
    pub(crate) job: Job,
    /// The host. Of jobs that ask one host, a replica does a few at the same time.
    pub(crate) target: String,
    /// The account that has it asked. Of all jobs for one account, a replica does a few at the same time.
    pub(crate) owner_id: Uuid,
}

/// The same for jobs that ask hosts. One that is there already, by its id, stays as it is.
pub(crate) async fn put_targeted(db: &mut PgConnection, jobs: &[Targeted]) -> Result<(), Error> {
    let (mut ids, mut lanes, mut topics, mut payloads, mut targets, mut owners) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    for Targeted { id, job, target, owner_id } in jobs {
        let (topic, payload) = columns(job)?;
        ids.push(*id);
        lanes.push(job.lane().as_str().to_owned());
        topics.push(topic);
        payloads.push(payload);
        targets.push(target.clone());
        owners.push(*owner_id);
    }
    sqlx::query!(
        r#"insert into outbox (id, lane, topic, payload, target, owner_id)
           select * from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::uuid[])
           on conflict (id) do nothing"#,
        &ids,
        &lanes,
        &topics,
        &payloads,
        &targets,
        &owners
    )
    .execute(&mut *db)
    .await?;
    sqlx::query(NOTIFY).execute(db).await?;
    Ok(())
}

/// A job that this replica has for the time of its lease.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) id: Uuid,
    pub(super) topic: String,
    pub(super) payload: Value,
    pub(super) attempts: i32,
    pub(super) target: Option<String>,
    pub(super) owner_id: Option<Uuid>,
}

/// At most so many jobs of a lane that are due, but for those that ask a host, or for an owner, of `busy`.
pub(super) async fn claim(
    database: &PgPool,
    lane: Lane,
    most: usize,
    busy: &Busy,
) -> Result<Vec<Claimed>, sqlx::Error> {
    sqlx::query_as!(
        Claimed,
        r#"update outbox o set attempts = o.attempts + 1, next_at = now() + make_interval(secs => $4)
           from (
               select id from outbox
               where dead_at is null and lane = $1 and next_at <= now() and attempts < $3
                 and (target is null or target <> all($5)) and (owner_id is null or owner_id <> all($6))
               order by next_at, id limit $2 for update skip locked
           ) due
           where o.id = due.id returning o.id, o.topic, o.payload, o.attempts, o.target, o.owner_id"#,
        lane.as_str(),
        i64::try_from(most).unwrap_or(i64::MAX),
        MOST_ATTEMPTS,
        LEASE.as_secs_f64(),
        &busy.hosts,
        &busy.owners
    )
    .fetch_all(database)
    .await
}

/// Gives back what was claimed and not begun.
pub(super) async fn give_back(database: &PgPool, jobs: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("update outbox set attempts = attempts - 1, next_at = now() where id = any($1)", jobs)
        .execute(database)
        .await?;
    Ok(())
}

/// What came of a claimed job.
pub(super) async fn settle(database: &PgPool, claimed: &Claimed, outcome: &Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Done => {
            sqlx::query!("delete from outbox where id = $1", claimed.id).execute(database).await?;
        }
        Outcome::Next(job) => {
            let (topic, payload) = columns(job)?;
            let mut connection = database.acquire().await?;
            sqlx::query!(
                r#"update outbox set lane = $2, topic = $3, payload = $4, attempts = 0, next_at = now(), last_error = null
                   where id = $1"#,
                claimed.id,
                job.lane().as_str(),
                topic,
                payload
            )
            .execute(&mut *connection)
            .await?;
            sqlx::query(NOTIFY).execute(&mut *connection).await?;
        }
        Outcome::Again { pause, reason } => fail(database, claimed, reason, *pause).await?,
    }
    Ok(())
}

/// That it failed: it is tried again after `pause`, or given up.
pub(super) async fn fail(
    database: &PgPool,
    claimed: &Claimed,
    reason: &str,
    pause: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update outbox
           set last_error = left($2, 500), next_at = now() + make_interval(secs => $3),
               dead_at = case when attempts >= $4 then now() end
           where id = $1"#,
        claimed.id,
        reason,
        pause.as_secs_f64(),
        MOST_ATTEMPTS
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Gives up what was begun again and again and never settled: whatever does it ends the process, or hangs.
pub(super) async fn bury(database: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update outbox set dead_at = now(), last_error = coalesce(last_error, 'it was begun, and never came to an end')
           where dead_at is null and next_at <= now() and attempts >= $1"#,
        MOST_ATTEMPTS
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Forgets what was given up long ago.
pub(super) async fn sweep(database: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from outbox where dead_at < now() - make_interval(days => $1)",
        DEAD_LETTERS_KEPT_DAYS
    )
    .execute(database)
    .await?;
    Ok(())
}

fn columns(job: &Job) -> Result<(String, Value), Error> {
    job.to_columns().map_err(|error| Error::Internal(format!("a job that cannot be written: {error}")))
}

/// What runners listen to.
pub(super) const CHANNEL: &str = "caudal_outbox";
const NOTIFY: &str = "notify caudal_outbox";
/// Twice what a job may take ([`super::runner`]'s deadline), so that none is done by two at once.
const LEASE: Duration = Duration::from_secs(60);
/// The last of them half an hour to an hour after the first: longer than a restart of Redis takes.
const MOST_ATTEMPTS: i32 = 16;
/// For an admin to look at them.
const DEAD_LETTERS_KEPT_DAYS: i32 = 14;
