//! Jobs that were given up, as admins see them.

use axum::http::Uri;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::Error;
use crate::page::{ByTime, Page, Paging};

/// A job and why it was given up.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetter {
    id: Uuid,
    topic: String,
    payload: Value,
    attempts: i32,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    dead_at: DateTime<Utc>,
}

/// The latest first.
pub(crate) async fn dead_letters(
    database: &PgPool,
    uri: &Uri,
    paging: Paging,
) -> Result<Page<DeadLetter>, Error> {
    let (at, id) = ByTime::after(paging.cursor.as_deref())?;
    let rows = sqlx::query_as!(
        DeadLetter,
        r#"select id, topic, payload, attempts, last_error, created_at, dead_at as "dead_at!"
           from outbox
           where dead_at is not null and ($1::timestamptz is null or (dead_at, id) < ($1, $2::uuid))
           order by dead_at desc, id desc limit $3"#,
        at,
        id,
        paging.limit.rows()
    )
    .fetch_all(database)
    .await?;
    let place = |row: &DeadLetter| ByTime::new(row.dead_at, row.id);
    Ok(Page::new(rows, paging.limit.items(), uri, place, |row| row))
}

/// Has one tried again. Whether there was one.
pub(crate) async fn retry(database: &PgPool, id: Uuid) -> Result<bool, Error> {
    let tried = sqlx::query!(
        "update outbox set dead_at = null, attempts = 0, next_at = now() where id = $1 and dead_at is not null",
        id
    );
    Ok(tried.execute(database).await?.rows_affected() > 0)
}
