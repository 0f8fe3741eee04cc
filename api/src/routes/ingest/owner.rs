//! The account whose stream the controller reports on.

use caudal_livestream::StreamId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Error;

/// A streamer's account, locked for this transaction.
pub(super) struct Owner(Uuid);

impl Owner {
    /// Locks the account before anything is done to its streams: users before streams, as everywhere. `None` when the
    /// stream is not known: a database restored from a backup may not know it.
    pub(super) async fn lock(db: &mut PgConnection, stream: StreamId) -> Result<Option<Self>, Error> {
        let owner = sqlx::query_scalar!("select user_id from streams where id = $1", stream.0);
        let Some(owner) = owner.fetch_optional(&mut *db).await? else { return Ok(None) };
        sqlx::query_scalar!("select id from users where id = $1 for update", owner).fetch_one(db).await?;
        Ok(Some(Self(owner)))
    }

    /// Says whether the account is streaming: by any of its streams, because another broadcast of the same person may be
    /// live already.
    pub(super) async fn set_streaming(&self, db: &mut PgConnection) -> Result<(), Error> {
        sqlx::query!(
            r#"update users set is_streaming = exists (select from streams where user_id = $1 and is_live), updated_at = now()
           where id = $1"#,
            self.0
        )
        .execute(db)
        .await?;
        Ok(())
    }
}
