//! People, as the api shows them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::Error;

/// Somebody, for themselves.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) username: String,
    pub(crate) display_name: Option<String>,
    pub(crate) email: String,
    /// Whether a link that was sent there was opened.
    pub(crate) email_verified: bool,
    pub(crate) avatar: Option<String>,
    pub(crate) bio: Option<String>,
    /// `user` or `admin`.
    pub(crate) role: String,
    pub(crate) is_streaming: bool,
    pub(crate) created_at: DateTime<Utc>,
    #[serde(skip)]
    pub(crate) banned: bool,
}

impl Account {
    /// The account, unless it was deleted.
    pub(crate) async fn find(db: impl PgExecutor<'_>, user: Uuid) -> Result<Option<Self>, Error> {
        let found = sqlx::query_as!(
            Self,
            r#"select id, username, display_name, email,
                      email_verified_at is not null as "email_verified!", avatar_url as avatar, bio, role, is_streaming, created_at,
                      banned_at is not null as "banned!"
               from users where id = $1 and deleted_at is null"#,
            user
        );
        Ok(found.fetch_optional(db).await?)
    }
}

/// Somebody, for everybody.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Streamer {
    pub(crate) id: Uuid,
    pub(crate) username: String,
    pub(crate) display_name: Option<String>,
    pub(crate) avatar: Option<String>,
}
