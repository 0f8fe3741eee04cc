//! What subscribers are mailed: that a subscription began, was cancelled or withdrawn from, and that a renewal could not be charged.

use caudal_billing::Minor;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::again;
use crate::app::Billing;
use crate::error::Error;
use crate::mail::{self, Told, Unsent};
use crate::outbox::{self, Attempt, Job, Outcome};

/// A letter to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SubscriptionLetter {
    Subscribed,
    Cancelled,
    Withdrawn,
    Unpaid,
}

/// Has a letter sent once this is committed.
pub(super) async fn write_to(
    db: &mut PgConnection,
    subscription: Uuid,
    letter: SubscriptionLetter,
) -> Result<(), Error> {
    outbox::put(db, &Job::MailSubscriber { subscription, letter, at: Utc::now() }).await
}

/// Job: sends it.
pub(crate) async fn mail_subscriber(
    billing: &Billing,
    subscription: Uuid,
    letter: SubscriptionLetter,
    at: DateTime<Utc>,
    attempt: Attempt,
) -> Result<Outcome, Error> {
    let Ok(selling) = billing.selling() else { return Ok(Outcome::Done) };
    let found = sqlx::query!(
        r#"select u.username, u.email, c.username as channel, s.tier, s.started_at, s.expires_at, p.amount_minor, p.currency
           from subscriptions s join users u on u.id = s.user_id and u.deleted_at is null
           join users c on c.id = s.streamer_id join plans p on p.id = s.plan_id
           where s.id = $1"#,
        subscription
    );
    let Some(found) = found.fetch_optional(&billing.database).await? else { return Ok(Outcome::Done) };
    let told = Told {
        public_url: &billing.urls.api,
        username: &found.username,
        channel: &found.channel,
        tier: &found.tier,
        price: &Minor(found.amount_minor).in_words(found.currency.parse().unwrap_or(selling.config.currency)),
        expires_at: found.expires_at,
        withdraw_until: found.started_at + selling.config.withdrawal(),
        at,
    };
    let written = match letter {
        SubscriptionLetter::Subscribed => mail::subscribed(&told),
        SubscriptionLetter::Cancelled => mail::cancelled(&told),
        SubscriptionLetter::Withdrawn => mail::withdrawn(&told),
        SubscriptionLetter::Unpaid => mail::unpaid(&told),
    };
    match billing.post.send(&found.email, written).await {
        Ok(()) => Ok(Outcome::Done),
        // An admin finds it among the jobs that were given up: somebody has to be told in another way.
        Err(Unsent { reason, is_final: true }) => {
            Err(Error::Internal(format!("a subscriber cannot be mailed: {reason}")))
        }
        Err(Unsent { reason, is_final: false }) => Ok(again(attempt, reason)),
    }
}
