//! Channels that are found by the beginning of their name.

use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Error;
use crate::names::NormalName;
use crate::text::{SearchWords, pattern_of_beginning};

/// Somebody, as search shows them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Channel {
    id: Uuid,
    username: String,
    display_name: Option<String>,
    avatar: Option<String>,
    is_streaming: bool,
    followers: i64,
}

impl Channel {
    /// Those whose username or display name begins with `words`: whose username is just that first, whose display name is next,
    /// then who is live.
    pub(crate) async fn top(database: &PgPool, words: &SearchWords, most: i64) -> Result<Vec<Self>, Error> {
        let name = NormalName::of(words.as_str().trim_start_matches('@'));
        // A shorter one begins too many names.
        if name.as_str().chars().count() < SHORTEST {
            return Ok(Vec::new());
        }
        let found = sqlx::query_as!(
            Self,
            r#"select u.id, u.username, u.display_name, u.avatar_url as avatar, u.is_streaming,
                      (select count(*) from followers f where f.following_id = u.id) as "followers!"
               from (
                   select * from users
                   where (username_normal like $2 or display_name_normal like $2)
                     and deleted_at is null and banned_at is null
                   order by (username_normal = $1) desc, (display_name_normal = $1) desc nulls last,
                            is_streaming desc, username_normal
                   limit $3
               ) u
               order by (u.username_normal = $1) desc, (u.display_name_normal = $1) desc nulls last,
                        u.is_streaming desc, u.username_normal"#,
            name.as_str(),
            pattern_of_beginning(name.as_str()),
            most
        );
        Ok(found.fetch_all(database).await?)
    }
}

/// Characters, as `SearchField` has at least.
const SHORTEST: usize = 2;
