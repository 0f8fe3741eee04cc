//! Who says something.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::account::Streamer;
use crate::error::Error;

/// Somebody with an account, as rooms need them.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) person: Streamer,
    /// Whether they run this server.
    pub(crate) admin: bool,
}

impl Author {
    pub(crate) async fn find(db: impl PgExecutor<'_>, user: Uuid) -> Result<Option<Self>, Error> {
        let found = sqlx::query!(
            r#"select id, username, display_name, avatar_url as avatar, role = 'admin' as "admin!"
               from users where id = $1"#,
            user
        );
        Ok(found.fetch_optional(db).await?.map(|found| Self {
            person: Streamer {
                id: found.id,
                username: found.username,
                display_name: found.display_name,
                avatar: found.avatar,
            },
            admin: found.admin,
        }))
    }
}
