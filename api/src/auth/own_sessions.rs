//! The log-ins of one person, as they see and end them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::Caller;
use super::session::MOST_OF_ONE_PERSON;
use crate::error::Error;

/// A browser or a program in which somebody is logged in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnSession {
    id: Uuid,
    created_at: DateTime<Utc>,
    /// When its tokens were changed last: while it is used, each hour.
    last_used_at: DateTime<Utc>,
    user_agent: Option<String>,
    ip: Option<String>,
    /// The one that asks.
    current: bool,
}

impl OwnSession {
    /// Those that go on, the newest first.
    pub(crate) async fn all(db: impl PgExecutor<'_>, caller: Caller) -> Result<Vec<Self>, Error> {
        let found = sqlx::query_as!(
            Self,
            r#"select id, created_at, exchanged_at as last_used_at, user_agent, ip, id = $2 as "current!"
               from sessions
               where user_id = $1 and revoked_at is null and (expires_at > now() or id = $2)
               order by created_at desc, id desc limit $3"#,
            caller.user,
            caller.session,
            MOST_OF_ONE_PERSON
        );
        Ok(found.fetch_all(db).await?)
    }
}

/// Ends one session of `user`. Whether it is theirs.
pub(crate) async fn end_own_session(
    db: impl PgExecutor<'_>,
    user: Uuid,
    session: Uuid,
) -> Result<bool, Error> {
    let ended = sqlx::query!(
        "update sessions set revoked_at = coalesce(revoked_at, now()) where id = $1 and user_id = $2",
        session,
        user
    );
    Ok(ended.execute(db).await?.rows_affected() > 0)
}

/// Ends all sessions of `user` but one, or all.
pub(crate) async fn end_sessions(
    db: impl PgExecutor<'_>,
    user: Uuid,
    but: Option<Uuid>,
) -> Result<(), Error> {
    // Locked in the order of their ids: two that do this at once must not wait for each other.
    sqlx::query!(
        r#"with ended as (
               select id from sessions where user_id = $1 and revoked_at is null and ($2::uuid is null or id <> $2)
               order by id for update
           )
           update sessions s set revoked_at = now() from ended where s.id = ended.id"#,
        user,
        but
    )
    .execute(db)
    .await?;
    Ok(())
}
