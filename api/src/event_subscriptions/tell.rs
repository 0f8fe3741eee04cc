//! From an event to a job for each subscription that it is for.

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::{Builder, Uuid, Variant};

use sha2::{Digest as _, Sha256};

use super::callback::Callback;
use super::event::Event;
use crate::app::EventSubscriptions;
use crate::error::Error;
use crate::outbox::{self, Job, Outcome, Targeted};

/// Subscribers of a channel who are to be told of an event, as many as one transaction should write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscribersOfEvent {
    pub(crate) event: Event,
    /// Whose event it is.
    pub(crate) streamer: Uuid,
    /// The last one of the batch before.
    pub(crate) after: Option<Uuid>,
}

/// Has those told who want to hear of it, once the transaction is committed. Costs a look-up where nobody does.
pub(crate) async fn announce(db: &mut PgConnection, streamer: Uuid, event: Event) -> Result<(), Error> {
    let wanted = sqlx::query_scalar!(
        r#"select exists (
               select from event_subscriptions where streamer_id = $1 and status = 'enabled' and $2 = any(types)
           ) as "wanted!""#,
        streamer,
        event.kind().as_str()
    );
    if wanted.fetch_one(&mut *db).await? {
        outbox::put(db, &Job::TellSubscribers(SubscribersOfEvent { event, streamer, after: None })).await?;
    }
    Ok(())
}

/// Job: puts a job for each of them, which is the same at a second try.
pub(crate) async fn tell_subscribers(
    parts: &EventSubscriptions,
    id: Uuid,
    batch: SubscribersOfEvent,
) -> Result<Outcome, Error> {
    let found = subscribers(&parts.database, &batch).await?;
    let Some(last) = found.last().map(|found| found.id) else { return Ok(Outcome::Done) };
    let more = found.len() >= BATCH;
    let mut deliveries = Vec::with_capacity(found.len());
    for subscription in found {
        if subscription.is_full {
            parts.metrics.webhook("dropped");
            tracing::debug!(subscription = %subscription.id, "too many messages wait for a webhook; this one is not sent");
            continue;
        }
        // One that the settings no longer allow fails when it is sent, in words that its owner reads.
        let callback = Callback::parse(&subscription.callback, parts.targets.hosts());
        let target = callback.as_ref().map(Callback::host).unwrap_or_default().to_owned();
        let job = Job::DeliverEvent { subscription: subscription.id, event: batch.event.clone() };
        let owner_id = subscription.user_id;
        deliveries.push(Targeted { id: message_id(id, subscription.id), job, target, owner_id });
    }
    let mut tx = parts.database.begin().await?;
    outbox::put_targeted(&mut tx, &deliveries).await?;
    tx.commit().await?;
    Ok(if more {
        Outcome::Next(Job::TellSubscribers(SubscribersOfEvent { after: Some(last), ..batch }))
    } else {
        Outcome::Done
    })
}

struct Subscriber {
    id: Uuid,
    user_id: Uuid,
    callback: String,
    is_full: bool,
}

async fn subscribers(database: &PgPool, batch: &SubscribersOfEvent) -> Result<Vec<Subscriber>, Error> {
    let rows = sqlx::query_as!(
        Subscriber,
        r#"select e.id, e.user_id, e.callback,
                  (select count(*) from (
                      select from outbox o
                      where o.lane = 'webhooks' and o.payload ->> 'subscription' = e.id::text limit $4
                  ) waiting) >= $4 as "is_full!"
           from event_subscriptions e
           where e.streamer_id = $1 and e.status = 'enabled' and $2 = any(e.types)
             and ($3::uuid is null or e.id > $3)
           order by e.id limit $5"#,
        batch.streamer,
        batch.event.kind().as_str(),
        batch.after,
        MOST_WAITING,
        i64::try_from(BATCH).unwrap_or(i64::MAX)
    );
    Ok(rows.fetch_all(database).await?)
}

/// Of a message: the event's time, and otherwise what follows from event and subscription alone.
fn message_id(event: Uuid, subscription: Uuid) -> Uuid {
    let digest = Sha256::new().chain_update(event).chain_update(subscription).finalize();
    let mut bytes = event.into_bytes();
    for (byte, hashed) in bytes.iter_mut().zip(digest).skip(UUID_TIME_BYTES) {
        *byte = hashed;
    }
    Builder::from_bytes(bytes).with_variant(Variant::RFC4122).into_uuid()
}

/// Rows of one transaction.
const BATCH: usize = 200;
/// For one subscription. A server that is away misses what happens beyond that, and its backlog has an end.
const MOST_WAITING: i64 = 1_000;
/// The time, and the version with the bits beside it.
const UUID_TIME_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_id_for_each_event_and_subscription() {
        let (event, other) = (Uuid::now_v7(), Uuid::now_v7());
        let (ana, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let id = message_id(event, ana);
        assert_eq!(id, message_id(event, ana));
        assert_ne!(id, message_id(event, bob));
        assert_ne!(id, message_id(other, ana));
        assert_eq!((id.get_version_num(), id.get_variant()), (7, Variant::RFC4122));
        assert_eq!(id.get_timestamp(), event.get_timestamp());
    }
}
