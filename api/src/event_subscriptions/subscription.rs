//! Event subscriptions as rows: made, shown and removed by their owner.

use axum::http::Uri;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::callback::Callback;
use super::error::{EventSubscriptionError, MOST_SUBSCRIPTIONS};
use super::event::EventType;
use crate::auth::{AuthError, Caller};
use crate::error::Error;
use crate::input::{FieldError, InputError};
use crate::outbox::{self, Job, Targeted};
use crate::page::{Page, Paging, decode_cursor};
use crate::people::PeopleError;
use crate::seal::Seals;

/// Somebody is told by webhook what happens in a channel.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventSubscription {
    id: Uuid,
    #[schema(example = "https://bot.example/hooks")]
    callback: String,
    types: Vec<EventType>,
    condition: Condition,
    /// `pending`, `enabled`, `verification_failed` or `notification_failures_exceeded`.
    #[schema(example = "enabled")]
    status: String,
    created_at: DateTime<Utc>,
    /// Since when no message has arrived; null while they do.
    failing_since: Option<DateTime<Utc>>,
    /// The last one that did not arrive.
    last_failure: Option<LastFailure>,
}

/// Whose events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EventCondition)]
pub(crate) struct Condition {
    pub(super) streamer_id: Uuid,
}

/// A try in vain.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventDeliveryFailure)]
pub(crate) struct LastFailure {
    at: DateTime<Utc>,
    #[schema(example = "it answered 500 Internal Server Error")]
    reason: String,
}

/// One that is to be made.
pub(crate) struct NewEventSubscription {
    pub(crate) callback: Callback,
    pub(crate) types: Vec<EventType>,
    pub(crate) secret: SecretString,
    pub(crate) streamer: Uuid,
}

impl NewEventSubscription {
    /// Makes it, with the job that asks its callback.
    pub(crate) async fn make(
        mut self,
        database: &PgPool,
        seals: &Seals,
        caller: Caller,
    ) -> Result<EventSubscription, Error> {
        self.types.sort_unstable();
        self.types.dedup();
        if self.streamer != caller.user && self.types.iter().any(|kind| kind.is_private()) {
            return Err(PeopleError::NotYou.into());
        }
        let id = Uuid::now_v7();
        let sealed = seals.seal(&place(id), self.secret.expose_secret())?;
        let mut tx = database.begin().await?;
        // So that of many at once no more are made than there may be, and none after a ban or a deletion.
        sqlx::query_scalar!(
            r#"select id from users where id = $1 and banned_at is null and deleted_at is null for no key update"#,
            caller.user
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(AuthError::SessionRevoked)?;
        let held = sqlx::query_scalar!(
            r#"select count(*) as "held!" from event_subscriptions where user_id = $1"#,
            caller.user
        );
        if held.fetch_one(&mut *tx).await? >= MOST_SUBSCRIPTIONS {
            return Err(EventSubscriptionError::TooMany.into());
        }
        let types: Vec<String> = self.types.iter().map(|kind| kind.as_str().to_owned()).collect();
        let row = sqlx::query_as!(
            Row,
            r#"insert into event_subscriptions (id, user_id, streamer_id, callback, types, secret_enc, secret_kid, status)
               select $1, $2, u.id, $4, $5, $6, $7, 'pending'
               from users u where u.id = $3 and u.banned_at is null and u.deleted_at is null
               returning id, streamer_id, callback, types, status, created_at, failing_since, last_failure, last_failure_at"#,
            id,
            caller.user,
            self.streamer,
            self.callback.url.as_str(),
            &types,
            sealed.encrypted,
            sealed.kid
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| {
            let pointer = "/condition/streamerId";
            InputError::Invalid(vec![FieldError::new(pointer, "unknown", PeopleError::Unknown.to_string())])
        })?;
        let job = Job::VerifyEventSubscription { subscription: id };
        let target = self.callback.host().to_owned();
        let challenge = Targeted { id: Uuid::now_v7(), job, target, owner_id: caller.user };
        outbox::put_targeted(&mut tx, &[challenge]).await?;
        tx.commit().await?;
        Ok(row.into())
    }
}

/// Those of one person, the latest first.
pub(crate) async fn list(
    database: &PgPool,
    caller: Caller,
    uri: &Uri,
    paging: Paging,
) -> Result<Page<EventSubscription>, Error> {
    let before: Option<Uuid> = decode_cursor(paging.cursor.as_deref())?;
    let rows = sqlx::query_as!(
        Row,
        r#"select id, streamer_id, callback, types, status, created_at, failing_since, last_failure, last_failure_at
           from event_subscriptions where user_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        caller.user,
        before,
        paging.limit.rows()
    )
    .fetch_all(database)
    .await?;
    Ok(Page::new(rows, paging.limit.items(), uri, |row| row.id, EventSubscription::from))
}

/// One of the caller's.
pub(crate) async fn show(database: &PgPool, caller: Caller, id: Uuid) -> Result<EventSubscription, Error> {
    let found = sqlx::query_as!(
        Row,
        r#"select id, streamer_id, callback, types, status, created_at, failing_since, last_failure, last_failure_at
           from event_subscriptions where id = $1 and user_id = $2"#,
        id,
        caller.user
    );
    let found = found.fetch_optional(database).await?;
    Ok(found.ok_or(Error::NotFound("this event subscription"))?.into())
}

/// Ends one of the caller's; what waits to be sent goes with it.
pub(crate) async fn remove(database: &PgPool, caller: Caller, id: Uuid) -> Result<(), Error> {
    let mut tx = database.begin().await?;
    let gone =
        sqlx::query!("delete from event_subscriptions where id = $1 and user_id = $2", id, caller.user);
    if gone.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("this event subscription"));
    }
    sqlx::query!(
        "delete from outbox where lane = 'webhooks' and payload ->> 'subscription' = $1",
        id.to_string()
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// All of one person, who may not be here any more.
pub(crate) async fn remove_all_of(db: &mut sqlx::PgConnection, user: Uuid) -> Result<(), Error> {
    sqlx::query!("delete from event_subscriptions where user_id = $1", user).execute(db).await?;
    Ok(())
}

/// Forgets what came to nothing long ago, and what is of people, or about people, who are gone.
pub(crate) async fn sweep(database: &PgPool) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from event_subscriptions where ctid = any(array(
               select ctid from event_subscriptions
               where status <> 'enabled' and changed_at < now() - make_interval(days => $1)
               order by changed_at limit 5000
           ))"#,
        KEPT_DAYS
    )
    .execute(database)
    .await?;
    // An operator may ban by `users.banned_at` alone.
    sqlx::query!(
        r#"delete from event_subscriptions where id in (
               select e.id from users u join event_subscriptions e on e.user_id = u.id
               where u.banned_at is not null or u.deleted_at is not null
               union all
               select e.id from users u join event_subscriptions e on e.streamer_id = u.id
               where u.deleted_at is not null
               limit 5000
           )"#
    )
    .execute(database)
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    streamer_id: Uuid,
    callback: String,
    types: Vec<String>,
    status: String,
    created_at: DateTime<Utc>,
    failing_since: Option<DateTime<Utc>>,
    last_failure: Option<String>,
    last_failure_at: Option<DateTime<Utc>>,
}

impl From<Row> for EventSubscription {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            callback: row.callback,
            types: row.types.iter().filter_map(|word| EventType::of_column(word)).collect(),
            condition: Condition { streamer_id: row.streamer_id },
            status: row.status,
            created_at: row.created_at,
            failing_since: row.failing_since,
            last_failure: row
                .last_failure
                .zip(row.last_failure_at)
                .map(|(reason, at)| LastFailure { at, reason }),
        }
    }
}

impl EventSubscription {
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }
}

/// What a secret is tied to.
pub(super) fn place(subscription: Uuid) -> Vec<u8> {
    [subscription.as_bytes().as_slice(), b"event_subscriptions.secret_enc"].concat()
}

/// For their owners to see what went wrong.
const KEPT_DAYS: i32 = 30;
