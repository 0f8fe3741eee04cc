//! Log-ins that were ended while their access tokens still hold.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::{Error, StartError};
use crate::redis_store::RedisStore;

/// Sessions whose access tokens no longer count. PostgreSQL knows them too (`refresh_tokens.revoked_at`); this is the
/// fast way to ask.
pub(crate) trait Denylist: Send + Sync {
    /// From now on, until its last access token has run out anyway.
    fn deny(&self, session: Uuid) -> BoxFuture<'_, ()>;

    /// Whether it was ended.
    fn denied(&self, session: Uuid) -> BoxFuture<'_, Result<bool, Error>>;

    /// Forgets what has run out.
    fn sweep(&self) {}
}

/// Redis' where there is one, else this process', which first reads what was ended before it started.
pub(crate) async fn denylist(
    redis: Option<RedisStore>,
    database: &PgPool,
    lifetime: Duration,
) -> Result<Box<dyn Denylist>, StartError> {
    if let Some(store) = redis {
        return Ok(Box::new(SharedDenylist { store, database: database.clone(), lifetime }));
    }
    let list = LocalDenylist { ended: Mutex::default(), lifetime };
    let recent = sqlx::query_scalar!(
        r#"select distinct family_id from refresh_tokens
           where revoked_at > now() - make_interval(secs => $1)"#,
        lifetime.as_secs_f64()
    )
    .fetch_all(database)
    .await?;
    for session in recent {
        list.insert(session);
    }
    Ok(Box::new(list))
}

/// For one replica.
struct LocalDenylist {
    // Held for single map operations only, never across an await. Grows by a person's own log-outs and is swept.
    ended: Mutex<HashMap<Uuid, Instant>>,
    lifetime: Duration,
}

impl LocalDenylist {
    fn insert(&self, session: Uuid) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(session, Instant::now());
    }
}

impl Denylist for LocalDenylist {
    fn deny(&self, session: Uuid) -> BoxFuture<'_, ()> {
        self.insert(session);
        Box::pin(std::future::ready(()))
    }

    fn denied(&self, session: Uuid) -> BoxFuture<'_, Result<bool, Error>> {
        let denied = self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&session);
        Box::pin(std::future::ready(Ok(denied)))
    }

    fn sweep(&self) {
        let lifetime = self.lifetime;
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, since| since.elapsed() <= lifetime);
    }
}

/// For many; while Redis is away PostgreSQL is asked, so that nothing ended comes back.
struct SharedDenylist {
    store: RedisStore,
    database: PgPool,
    lifetime: Duration,
}

impl SharedDenylist {
    async fn written(&self, session: Uuid) -> redis::RedisResult<()> {
        let mut connection = self.store.connection();
        redis::cmd("SET")
            .arg(key(session))
            .arg(1)
            .arg("EX")
            .arg(self.lifetime.as_secs().max(1))
            .query_async(&mut connection)
            .await
    }

    async fn read(&self, session: Uuid) -> redis::RedisResult<bool> {
        let mut connection = self.store.connection();
        redis::cmd("EXISTS").arg(key(session)).query_async(&mut connection).await
    }
}

impl Denylist for SharedDenylist {
    fn deny(&self, session: Uuid) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.written(session).await {
                tracing::warn!(%error, %session, "Redis is away: an ended session is known to PostgreSQL only");
            }
        })
    }

    fn denied(&self, session: Uuid) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move {
            match self.read(session).await {
                Ok(denied) => Ok(denied),
                Err(error) => {
                    tracing::debug!(%error, "Redis is away: asking PostgreSQL about a session");
                    let revoked = sqlx::query_scalar!(
                        r#"select exists (select from refresh_tokens
                           where family_id = $1 and revoked_at is not null) as "revoked!""#,
                        session
                    );
                    Ok(revoked.fetch_one(&self.database).await?)
                }
            }
        })
    }
}

fn key(session: Uuid) -> String {
    format!("denied:{}", session.simple())
}
