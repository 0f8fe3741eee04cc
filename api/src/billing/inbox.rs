//! What providers tell: which object has changed, once. Everything else is asked.

use caudal_billing::stripe::{Event, verify};
use chrono::Utc;

use super::error::BillingError;
use super::sync::{Known, want};
use crate::app::Billing;
use crate::error::Error;

/// A webhook of Stripe's: verified, noted, and to be looked at. What is not ours is acknowledged, or it would be sent for days.
pub(crate) async fn take_webhook(billing: &Billing, signature: &str, body: &[u8]) -> Result<(), Error> {
    let stripe = &billing.selling()?.stripe;
    verify(signature, body, &stripe.webhook_secrets(), Utc::now()).map_err(BillingError::NotSigned)?;
    let Ok(event) = Event::read(body) else {
        tracing::warn!("Stripe has told something that cannot be read");
        return Ok(());
    };
    let Some(about) = event.about.filter(|_| event.livemode == stripe.livemode()) else { return Ok(()) };
    let mut tx = billing.database.begin().await?;
    let new = sqlx::query!(
        "insert into webhook_events (provider, event_id) values ('stripe', left($1, 255)) on conflict do nothing",
        event.id
    );
    if new.execute(&mut *tx).await?.rows_affected() > 0 {
        want(&mut tx, &Known::of(&about)).await?;
    }
    Ok(tx.commit().await?)
}

/// Forgets what no provider repeats any more, objects of which all is known, and checkouts on which nobody paid.
pub(crate) async fn forget_old_events(database: &sqlx::PgPool) -> Result<(), Error> {
    loop {
        let events = sqlx::query!(
            r#"delete from webhook_events where ctid = any(array(
                   select ctid from webhook_events
                   where received_at < now() - make_interval(days => $1) order by received_at limit $2
               ))"#,
            KEPT_DAYS,
            AT_ONCE
        );
        let syncs = sqlx::query!(
            r#"delete from billing_syncs where ctid = any(array(
                   select ctid from billing_syncs
                   where wanted = done and changed_at < now() - make_interval(days => $1) order by changed_at limit $2
               ))"#,
            KEPT_DAYS,
            AT_ONCE
        );
        let checkouts = sqlx::query!(
            r#"delete from checkouts where ctid = any(array(
                   select ctid from checkouts c
                   where c.created_at < now() - interval '30 days' and c.status = 'expired'
                     and not exists (select from subscriptions s where s.checkout_id = c.id)
                   order by c.created_at limit $1
               ))"#,
            AT_ONCE
        );
        let events = events.execute(database).await?.rows_affected();
        let syncs = syncs.execute(database).await?.rows_affected();
        let checkouts = checkouts.execute(database).await?.rows_affected();
        if events.max(syncs).max(checkouts) < AT_ONCE.unsigned_abs() {
            return Ok(());
        }
    }
}

/// Twice as long as Stripe repeats what was not acknowledged.
const KEPT_DAYS: i32 = 7;
/// Rows: a fraction of a second.
const AT_ONCE: i64 = 10_000;
