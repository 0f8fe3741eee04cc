//! The account that streams belong to, locked.

use sqlx::PgConnection;
use uuid::Uuid;

use super::news::tell_news;
use crate::error::Error;
use crate::names::NormalName;

/// A streamer's account, locked until the transaction ends.
///
/// Whatever changes a streamer's rows in both `users` and `streams` takes this first, so every transaction locks
/// `users` before `streams` and no two can wait for each other. The lock is `for no key update`: it leaves room for the
/// foreign-key checks of whoever logs in meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) user: Uuid,
}

/// What a publisher's admission needs to know of the account.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) owner: Owner,
    pub(crate) username: String,
    pub(crate) banned: bool,
    /// Its owner ended a broadcast a moment ago.
    pub(crate) held: bool,
}

impl Owner {
    /// `None` when the account is gone.
    pub(crate) async fn lock(db: &mut PgConnection, user: Uuid) -> Result<Option<Self>, Error> {
        let locked = sqlx::query_scalar!(
            "select id from users where id = $1 and deleted_at is null for no key update",
            user
        );
        Ok(locked.fetch_optional(db).await?.map(|user| Self { user }))
    }

    /// The account of a stream, even a deleted one: its streams end all the same. `None` when the stream is not known,
    /// because a database restored from a backup may not know it.
    pub(crate) async fn lock_of_stream(db: &mut PgConnection, stream: Uuid) -> Result<Option<Self>, Error> {
        let owner = sqlx::query_scalar!("select user_id from streams where id = $1", stream);
        match owner.fetch_optional(&mut *db).await? {
            Some(owner) => Self::lock_even_deleted(db, owner).await,
            None => Ok(None),
        }
    }

    /// A deleted account too.
    pub(crate) async fn lock_even_deleted(db: &mut PgConnection, user: Uuid) -> Result<Option<Self>, Error> {
        let locked = sqlx::query_scalar!("select id from users where id = $1 for no key update", user);
        Ok(locked.fetch_optional(db).await?.map(|user| Self { user }))
    }

    /// The account of a channel, by its name as the directory has it.
    pub(crate) async fn lock_by_name(db: &mut PgConnection, username: &str) -> Result<Option<Self>, Error> {
        // For the index. One of two names that were equal before there were normal ones has none.
        let normal = NormalName::of(username);
        let locked = sqlx::query_scalar!(
            r#"select id from users
               where (username_normal = $2 or username_normal is null) and username = $1 and deleted_at is null
               for no key update"#,
            username,
            normal.as_str()
        );
        Ok(locked.fetch_optional(db).await?.map(|user| Self { user }))
    }

    /// The account that a stream key opens, by the key's hash.
    pub(crate) async fn lock_by_key(db: &mut PgConnection, hash: &str) -> Result<Option<Publisher>, Error> {
        let found = sqlx::query!(
            r#"select id, username, banned_at is not null as "banned!",
                      coalesce(key_held_until > now(), false) as "held!"
               from users where stream_key = $1 and deleted_at is null for no key update"#,
            hash
        );
        Ok(found.fetch_optional(db).await?.map(|found| Publisher {
            owner: Self { user: found.id },
            username: found.username,
            banned: found.banned,
            held: found.held,
        }))
    }

    /// Says whether the account is streaming: by any of its streams, because another broadcast of the same person may
    /// be live already. Whoever asked for that is told (`news`), so this comes after every change of `is_live` and `ended_at`.
    pub(crate) async fn set_streaming(self, db: &mut PgConnection) -> Result<(), Error> {
        sqlx::query!(
            r#"update users set is_streaming = not is_streaming, updated_at = now()
               where id = $1 and is_streaming <> exists (select from streams where user_id = $1 and is_live)"#,
            self.user
        )
        .execute(&mut *db)
        .await?;
        tell_news(db, self).await
    }
}
