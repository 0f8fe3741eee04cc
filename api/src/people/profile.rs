//! What everybody may know of somebody.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{KnownPerson, PeopleError};
use crate::auth::Caller;
use crate::error::Error;

/// Somebody, as their channel's page shows them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    id: Uuid,
    username: String,
    display_name: Option<String>,
    avatar: Option<String>,
    bio: Option<String>,
    created_at: DateTime<Utc>,
    is_streaming: bool,
    /// The stream that is live.
    stream_id: Option<Uuid>,
    followers: i64,
    following: i64,
    /// By whoever asks; null when nobody is logged in.
    is_following: Option<bool>,
    is_blocked: Option<bool>,
}

impl Profile {
    /// As `viewer` sees it.
    pub(crate) async fn of(
        database: &PgPool,
        KnownPerson(person): KnownPerson,
        viewer: Option<Caller>,
    ) -> Result<Self, Error> {
        let viewer = viewer.map(|viewer| viewer.user);
        let found = sqlx::query_as!(
            Self,
            r#"select u.id, u.username, u.display_name, u.avatar_url as avatar, u.bio, u.created_at,
                      live.id is not null as "is_streaming!", live.id as "stream_id?",
                      (select count(*) from followers f where f.following_id = u.id) as "followers!",
                      (select count(*) from followers f where f.follower_id = u.id) as "following!",
                      case when $2::uuid is not null then exists (
                          select from followers f where f.follower_id = $2 and f.following_id = u.id
                      ) end as is_following,
                      case when $2::uuid is not null then exists (
                          select from user_blocks b where b.blocker_id = $2 and b.blocked_id = u.id
                      ) end as is_blocked
               from users u left join streams live on live.user_id = u.id and live.is_live
               where u.id = $1"#,
            person,
            viewer
        );
        Ok(found.fetch_optional(database).await?.ok_or(PeopleError::Unknown)?)
    }
}
