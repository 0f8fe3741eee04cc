//! What somebody wants to be told.

use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::Error;

/// Everything, until they say otherwise.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Preferences {
    /// That somebody whom they follow is live.
    #[garde(skip)]
    stream_started: bool,
    /// That somebody follows them.
    #[garde(skip)]
    new_follower: bool,
}

impl Preferences {
    pub(crate) async fn of(database: &PgPool, user: Uuid) -> Result<Self, Error> {
        let set = sqlx::query_as!(
            Self,
            "select stream_started, new_follower from notification_preferences where user_id = $1",
            user
        );
        let set = set.fetch_optional(database).await?;
        Ok(set.unwrap_or(Self { stream_started: true, new_follower: true }))
    }

    pub(crate) async fn set(self, database: &PgPool, user: Uuid) -> Result<(), Error> {
        sqlx::query!(
            r#"insert into notification_preferences (user_id, stream_started, new_follower) values ($1, $2, $3)
               on conflict (user_id) do update
               set stream_started = excluded.stream_started, new_follower = excluded.new_follower"#,
            user,
            self.stream_started,
            self.new_follower
        )
        .execute(database)
        .await?;
        Ok(())
    }
}
