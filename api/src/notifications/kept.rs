//! Notifications as rows: read and marked by their person, and gone when they are old.

use axum::http::Uri;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::Streamer;
use crate::error::Error;
use crate::page::{Limit, Page, decode_cursor};

/// Something that somebody is told.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notification {
    /// UUIDv7: the later, the greater.
    pub(crate) id: Uuid,
    /// `stream_started`, `new_follower` or `new_subscriber`.
    #[serde(rename = "type")]
    #[schema(example = "stream_started")]
    pub(crate) kind: String,
    /// Whom it is about: who is live, who follows, who subscribes.
    pub(crate) user: Streamer,
    pub(crate) stream_id: Option<Uuid>,
    /// The stream's, when it began.
    pub(crate) title: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) read: bool,
}

/// How many somebody has not read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unread {
    count: i64,
}

impl Unread {
    /// Of those that [`list`] shows.
    pub(crate) async fn of(database: &PgPool, user: Uuid) -> Result<Self, Error> {
        let unread = sqlx::query_as!(
            Self,
            r#"select count(*) as "count!" from notifications n
               join users a on a.id = n.actor_id and a.banned_at is null and a.deleted_at is null
               where n.user_id = $1 and n.read_at is null"#,
            user
        );
        Ok(unread.fetch_one(database).await?)
    }
}

/// Where a page ended.
#[derive(Serialize, Deserialize)]
struct ById {
    id: Uuid,
}

/// Of one person, the latest first, without those about people who are banned or gone.
pub(crate) async fn list(
    database: &PgPool,
    user: Uuid,
    unread: bool,
    uri: &Uri,
    (limit, cursor): (Limit, Option<&str>),
) -> Result<Page<Notification>, Error> {
    let before = decode_cursor::<ById>(cursor)?.map(|place| place.id);
    let rows = sqlx::query!(
        r#"select n.id, n.type as kind, n.stream_id, n.title, n.created_at, n.read_at is not null as "read!",
                  a.id as actor, a.username, a.display_name, a.avatar_url
           from notifications n
           join users a on a.id = n.actor_id and a.banned_at is null and a.deleted_at is null
           where n.user_id = $1 and ($2::uuid is null or n.id < $2) and (n.read_at is null or not $3)
           order by n.id desc limit $4"#,
        user,
        before,
        unread,
        limit.rows()
    )
    .fetch_all(database)
    .await?;
    Ok(Page::new(
        rows,
        limit.items(),
        uri,
        |row| ById { id: row.id },
        |row| Notification {
            id: row.id,
            kind: row.kind,
            user: Streamer {
                id: row.actor,
                username: row.username,
                display_name: row.display_name,
                avatar: row.avatar_url,
            },
            stream_id: row.stream_id,
            title: row.title,
            created_at: row.created_at,
            read: row.read,
        },
    ))
}

/// Marks all as read, up to one of them.
pub(crate) async fn mark_all(database: &PgPool, user: Uuid, until: Option<Uuid>) -> Result<(), Error> {
    sqlx::query!(
        r#"update notifications set read_at = now()
           where user_id = $1 and read_at is null and ($2::uuid is null or id <= $2)"#,
        user,
        until
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Marks one as read or not.
pub(crate) async fn mark(database: &PgPool, user: Uuid, id: Uuid, read: bool) -> Result<(), Error> {
    let marked = sqlx::query!(
        r#"update notifications set read_at = case when $3 then coalesce(read_at, now()) end
           where user_id = $1 and id = $2"#,
        user,
        id,
        read
    );
    match marked.execute(database).await?.rows_affected() {
        0 => Err(Error::NotFound("this notification")),
        _ => Ok(()),
    }
}

/// Of people who were just told something, those beyond the newest [`MOST`] go.
pub(super) async fn keep_newest(db: &mut PgConnection, people: &[Uuid]) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from notifications n using (
               select person.id as user_id, first.id from unnest($1::uuid[]) as person (id)
               cross join lateral (
                   select id from notifications where user_id = person.id order by id desc offset $2 limit 1
               ) first
           ) surplus
           where n.user_id = surplus.user_id and n.id <= surplus.id"#,
        people,
        MOST
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those that are too old for anybody go.
pub(crate) async fn sweep(database: &PgPool) -> Result<(), sqlx::Error> {
    loop {
        let gone = sqlx::query!(
            r#"delete from notifications where ctid = any(array(
                   select ctid from notifications where created_at < now() - make_interval(days => $1) limit 5000
               ))"#,
            KEPT_DAYS
        );
        if gone.execute(database).await?.rows_affected() == 0 {
            return Ok(());
        }
    }
}

/// Of one person: more than anybody scrolls through, and an end to what strangers can make of somebody's table.
const MOST: i64 = 200;
const KEPT_DAYS: i32 = 90;
