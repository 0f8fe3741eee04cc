//! People, as admins see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::Role;
use crate::error::Error;
use crate::people::PeopleError;

/// Somebody, with what is nobody else's to know.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PersonForAdmins {
    pub(crate) id: Uuid,
    username: String,
    display_name: Option<String>,
    email: String,
    avatar: Option<String>,
    role: String,
    is_streaming: bool,
    created_at: DateTime<Utc>,
    banned_at: Option<DateTime<Utc>>,
    /// In the words of whoever banned.
    ban_reason: Option<String>,
}

/// Which people an admin wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeopleFilter<'a> {
    /// For `like`: names and addresses, as they are compared.
    pub(crate) pattern: Option<&'a str>,
    pub(crate) role: Option<Role>,
    pub(crate) banned: Option<bool>,
}

impl PersonForAdmins {
    pub(crate) async fn find(db: impl PgExecutor<'_>, user: Uuid) -> Result<Self, Error> {
        let found = sqlx::query_as!(
            Self,
            r#"select id, username, display_name, email, avatar_url as avatar, role, is_streaming, created_at,
                      banned_at, ban_reason
               from users where id = $1 and deleted_at is null"#,
            user
        );
        Ok(found.fetch_optional(db).await?.ok_or(PeopleError::Unknown)?)
    }

    /// Whoever came last is first.
    pub(crate) async fn list(
        db: impl PgExecutor<'_>,
        filter: PeopleFilter<'_>,
        before: Option<Uuid>,
        rows: i64,
    ) -> Result<Vec<Self>, Error> {
        let found = sqlx::query_as!(
            Self,
            r#"select id, username, display_name, email, avatar_url as avatar, role, is_streaming, created_at,
                      banned_at, ban_reason
               from users
               where deleted_at is null and ($4::uuid is null or id < $4)
                 and ($1::text is null or username_normal like $1 or display_name_normal like $1 or email_normal like $1)
                 and ($2::text is null or role = $2) and ($3::bool is null or (banned_at is not null) = $3)
               order by id desc limit $5"#,
            filter.pattern,
            filter.role.map(Role::as_str),
            filter.banned,
            before,
            rows
        );
        Ok(found.fetch_all(db).await?)
    }
}
