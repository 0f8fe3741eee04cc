//! Telling that somebody subscribes: the channel's room, its streamer, and servers that want to know.

use caudal_livestream::StreamId;
use uuid::Uuid;

use crate::app::{Billing, Chat, Notifications};
use crate::chat::{self, Author};
use crate::error::Error;
use crate::event_subscriptions::{Event, announce};
use crate::notifications;
use crate::outbox::Outcome;

/// Job: tells of a subscription that has begun. `event` is the same at a second try.
pub(crate) async fn new_subscriber(
    billing: &Billing,
    parts: &Notifications,
    chat: &Chat,
    event: Uuid,
    subscription: Uuid,
) -> Result<Outcome, Error> {
    let found = sqlx::query!(
        r#"select s.user_id, s.streamer_id, s.tier, s.started_at,
                  (select count(*) from subscriptions all_of join payments p on p.subscription_id = all_of.id
                   where all_of.user_id = s.user_id and all_of.streamer_id = s.streamer_id and not p.surplus and p.refunded_minor < p.amount_minor
                     and p.period_to - p.period_from > interval '20 days') as "months!",
                  (select id from streams where user_id = s.streamer_id and is_live) as stream
           from subscriptions s
           join users u on u.id = s.user_id and u.banned_at is null and u.deleted_at is null
           join users a on a.id = s.streamer_id and a.banned_at is null and a.deleted_at is null
           where s.id = $1 and s.status <> 'expired'"#,
        subscription
    );
    let Some(found) = found.fetch_optional(&billing.database).await? else { return Ok(Outcome::Done) };
    let told = notifications::keep_new_subscriber(
        parts,
        event,
        found.user_id,
        found.streamer_id,
        found.started_at,
        async |tx| announce(tx, found.streamer_id, Event::NewSubscriber { subscription }).await,
    );
    if !told.await? {
        return Ok(Outcome::Done);
    }
    if let (Some(stream), Some(Author { person, .. })) =
        (found.stream, Author::find(&billing.database, found.user_id).await?)
    {
        chat::tell_new_subscriber(&chat.hub, StreamId(stream), &person, &found.tier, found.months).await?;
    }
    Ok(Outcome::Done)
}
