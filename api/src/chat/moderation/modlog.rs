//! Who did what to whom, for a year.

use axum::http::Uri;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::account::Streamer;
use crate::error::Error;
use crate::page::{ByTime, Page, Paging};

/// What a moderator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Ban,
    Timeout,
    Unban,
    DeleteMessage,
    AddModerator,
    RemoveModerator,
    AddTerm,
    RemoveTerm,
    ChangeSettings,
}

impl Act {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Timeout => "timeout",
            Self::Unban => "unban",
            Self::DeleteMessage => "delete_message",
            Self::AddModerator => "add_moderator",
            Self::RemoveModerator => "remove_moderator",
            Self::AddTerm => "add_term",
            Self::RemoveTerm => "remove_term",
            Self::ChangeSettings => "change_settings",
        }
    }
}

/// Writes a line.
pub(crate) async fn log(
    db: impl PgExecutor<'_>,
    channel: Uuid,
    actor: Uuid,
    act: Act,
    target: Option<Uuid>,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into moderation_actions (id, channel_id, actor_id, target_id, action, detail)
           values ($1, $2, $3, $4, $5, $6)"#,
        Uuid::now_v7(),
        channel,
        actor,
        target,
        act.as_str(),
        detail
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One line, for moderators.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActView {
    id: Uuid,
    at: DateTime<Utc>,
    action: String,
    /// Null once that account is gone.
    by: Option<Streamer>,
    /// Null where it was nobody, or that account is gone.
    user: Option<Streamer>,
    detail: Value,
}

/// Those of a channel, the latest first.
pub(crate) async fn list(
    database: &PgPool,
    channel: Uuid,
    uri: &Uri,
    paging: &Paging,
) -> Result<Page<ActView>, Error> {
    let (at, id) = ByTime::after(paging.cursor.as_deref())?;
    let rows = sqlx::query!(
        r#"select a.id, a.created_at, a.action, a.detail,
                  m.id as "by_id?", m.username as "by_username?", m.display_name as by_display_name,
                  m.avatar_url as by_avatar,
                  u.id as "user_id?", u.username as "username?", u.display_name, u.avatar_url as avatar
           from moderation_actions a
           left join users m on m.id = a.actor_id left join users u on u.id = a.target_id
           where a.channel_id = $1 and ($2::timestamptz is null or (a.created_at, a.id) < ($2, $3::uuid))
           order by a.created_at desc, a.id desc limit $4"#,
        channel,
        at,
        id,
        paging.limit.rows()
    )
    .fetch_all(database)
    .await?;
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| ActView {
            id: row.id,
            at: row.created_at,
            action: row.action,
            by: row.by_id.zip(row.by_username).map(|(id, username)| Streamer {
                id,
                username,
                display_name: row.by_display_name,
                avatar: row.by_avatar,
            }),
            user: row.user_id.zip(row.username).map(|(id, username)| Streamer {
                id,
                username,
                display_name: row.display_name,
                avatar: row.avatar,
            }),
            detail: row.detail,
        })
        .collect();
    let place = |act: &ActView| ByTime::new(act.at, act.id);
    Ok(Page::new(rows, paging.limit.items(), uri, place, |act| act))
}

/// Forgets what is older than a year.
pub(crate) async fn sweep(database: &PgPool) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from moderation_actions where id in (
               select id from moderation_actions where created_at < now() - interval '365 days' limit 10000
           )"#
    )
    .execute(database)
    .await?;
    Ok(())
}
