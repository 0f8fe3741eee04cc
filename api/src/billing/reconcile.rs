//! Finding what nobody told: events that were lost, time that went by, processes that died.

use std::time::Duration;

use caudal_billing::stripe::CHECKOUT_KEY;
use chrono::{TimeDelta, Utc};
use sqlx::PgConnection;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::checkout::close;
use super::orders;
use super::sync::{Known, want_now};
use crate::app::{Billing, Selling};
use crate::error::Error;
use crate::outbox::{self, Job};

/// Until `shutdown`: ends what is over each `sweep`, and looks for what nobody told each `tidy`. Beside the other work in the background, which must
/// not wait for a provider.
pub(crate) async fn keep(billing: &Billing, sweep: Duration, tidy: Duration, shutdown: &CancellationToken) {
    let Ok(selling) = billing.selling() else {
        return shutdown.cancelled().await;
    };
    let mut ticks = interval(sweep);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tidied: Option<Instant> = None;
    let keeping = async {
        loop {
            ticks.tick().await;
            run("what is over", end_what_is_over(billing)).await;
            if tidied.is_none_or(|last| last.elapsed() >= tidy) {
                run("what nobody told", find_untold(billing, selling)).await;
                run("open checkouts", look_at_checkouts(billing)).await;
                run("live subscriptions", look_at_live(billing)).await;
                run("ended subscriptions", look_at_ended(billing)).await;
                run("orders", repeat_orders(billing)).await;
                run("people who are gone", stop_of_the_gone(billing)).await;
                run("their checkouts", close_of_the_gone(billing, selling)).await;
                tidied = Some(Instant::now());
            }
        }
    };
    shutdown.run_until_cancelled(Box::pin(keeping)).await;
}

/// One piece of work, of which none keeps another from its turn.
async fn run(what: &str, work: impl Future<Output = Result<(), Error>>) {
    match timeout(LONGEST, work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(what, %error, "billing could not be looked through; it is tried again");
        }
        Err(_) => tracing::warn!(what, "billing could not be looked through in time; it goes on next time"),
    }
}

/// Subscriptions whose time is over, so that they are over in the table too.
async fn end_what_is_over(billing: &Billing) -> Result<(), Error> {
    let over = sqlx::query_scalar!(
        r#"select s.provider_subscription_id from subscriptions s
           left join billing_syncs b on b.provider = s.provider and b.object_id = s.provider_subscription_id
           where s.status <> 'expired' and greatest(s.expires_at, s.grace_until) < now()
             and s.synced_at < greatest(s.expires_at, s.grace_until) and (b.wanted is null or b.wanted = b.done)
           limit 200"#
    );
    for subscription in over.fetch_all(&billing.database).await? {
        want_now(billing, &Known::subscription(&subscription)).await?;
    }
    Ok(())
}

/// Subscriptions that were paid for and never told of: the process died between the page and its row.
async fn find_untold(billing: &Billing, selling: &Selling) -> Result<(), Error> {
    let since = Utc::now() - LOOK_BACK;
    for subscription in selling.stripe.subscriptions_since(since.timestamp()).await? {
        let Some(checkout) = subscription.metadata.get(CHECKOUT_KEY).and_then(|id| id.parse::<Uuid>().ok())
        else {
            continue;
        };
        let found = sqlx::query!(
            r#"select exists (select from checkouts where id = $1) as "ours!",
                      exists (select from subscriptions where provider = 'stripe' and provider_subscription_id = $2) as "known!""#,
            checkout,
            subscription.id
        );
        let found = found.fetch_one(&billing.database).await?;
        if !found.ours {
            let subscription = subscription.id;
            tracing::error!(
                subscription,
                "Stripe charges for a subscription of Caudal's that this database does not know, as after a restored backup; \
                cancel and refund it there"
            );
        } else if !found.known {
            want_now(billing, &Known::subscription(&subscription.id)).await?;
        }
    }
    Ok(())
}

/// Pages close after 31 minutes, so three days cover every one that can still have been paid.
async fn look_at_checkouts(billing: &Billing) -> Result<(), Error> {
    let database = &billing.database;
    let open = sqlx::query_scalar!(
        r#"select session_id as "session_id!" from checkouts
           where status = 'open' and session_id is not null and created_at > now() - interval '3 days' limit 2000"#
    );
    for session in open.fetch_all(database).await? {
        want_now(billing, &Known::checkout(&session)).await?;
    }
    // Those that never got a page.
    sqlx::query!(
        "update checkouts set status = 'expired' where status = 'open' and session_id is null and expires_at < now()"
    )
    .execute(database)
    .await?;
    Ok(())
}

/// The longest unseen first.
async fn look_at_live(billing: &Billing) -> Result<(), Error> {
    let live = sqlx::query_scalar!(
        r#"select provider_subscription_id from subscriptions
           where status <> 'expired' and synced_at < now() - interval '50 minutes' order by synced_at limit 2000"#
    );
    for subscription in live.fetch_all(&billing.database).await? {
        want_now(billing, &Known::subscription(&subscription)).await?;
    }
    Ok(())
}

/// A dispute comes up to 120 days after the payment, and an invoice can be paid after its subscription's end: once a day.
async fn look_at_ended(billing: &Billing) -> Result<(), Error> {
    let ended = sqlx::query_scalar!(
        r#"select s.provider_subscription_id from subscriptions s
           where s.status = 'expired' and s.synced_at < now() - interval '1 day'
             and exists (select from payments p where p.subscription_id = s.id and p.paid_at > now() - interval '130 days')
           order by s.synced_at limit 500"#
    );
    for subscription in ended.fetch_all(&billing.database).await? {
        want_now(billing, &Known::subscription(&subscription)).await?;
    }
    Ok(())
}

/// Orders whose job was given up while the provider was away, and, for a week, those that it refused.
async fn repeat_orders(billing: &Billing) -> Result<(), Error> {
    let mut connection = billing.database.acquire().await?;
    let waiting = sqlx::query_scalar!(
        "select id from billing_orders where status = 'waiting' and created_at < now() - interval '1 hour' order by id limit 500"
    );
    for order in waiting.fetch_all(&mut *connection).await? {
        outbox::put(&mut connection, &Job::CarryOutBillingOrder { order }).await?;
    }
    let refused = sqlx::query!(
        r#"select distinct o.subscription_id, p.provider_payment_id as "payment?"
           from billing_orders o left join payments p on p.id = o.payment_id
           where o.status = 'refused' and o.created_at > now() - interval '7 days'
             and (p.id is null or p.refunded_minor < p.amount_minor)
             and not exists (
                 select from billing_orders d
                 where d.subscription_id = o.subscription_id and d.kind = o.kind and d.payment_id is not distinct from o.payment_id
                   and d.status = 'done' and d.id > o.id
             )
           limit 500"#
    );
    for order in refused.fetch_all(&mut *connection).await? {
        orders::give(&mut connection, order.subscription_id, order.payment.as_deref()).await?;
    }
    Ok(())
}

/// Has nothing charged any more for an account that is deleted or banned. What it subscribes to ends here; what others subscribe to of its channel,
/// which may be thousands, in the background.
pub(crate) async fn stop_all_of(db: &mut PgConnection, user: Uuid) -> Result<(), Error> {
    let live = sqlx::query_scalar!(
        "select id from subscriptions where user_id = $1 and status <> 'expired' order by id limit 200",
        user
    );
    for subscription in live.fetch_all(&mut *db).await? {
        orders::give(&mut *db, subscription, None).await?;
    }
    sqlx::query!("update plans set retired_at = now() where streamer_id = $1 and retired_at is null", user)
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from subscription_offers where user_id = $1", user).execute(db).await?;
    Ok(())
}

/// Subscriptions of people who are gone, and of their channels. The database alone may know of a ban.
async fn stop_of_the_gone(billing: &Billing) -> Result<(), Error> {
    let gone = sqlx::query_scalar!(
        r#"select s.id from subscriptions s join users u on u.id = s.user_id join users c on c.id = s.streamer_id
           where s.status = 'active'
             and (u.banned_at is not null or c.banned_at is not null or u.deleted_at is not null or c.deleted_at is not null)
           limit 2000"#
    );
    let mut connection = billing.database.acquire().await?;
    for subscription in gone.fetch_all(&mut *connection).await? {
        orders::give(&mut connection, subscription, None).await?;
    }
    Ok(())
}

/// Checkouts that are still open though one of the two is gone.
async fn close_of_the_gone(billing: &Billing, selling: &Selling) -> Result<(), Error> {
    let open = sqlx::query!(
        r#"select c.id, c.session_id from checkouts c join users u on u.id = c.user_id join users s on s.id = c.streamer_id
           where c.status = 'open'
             and (u.deleted_at is not null or u.banned_at is not null or s.deleted_at is not null or s.banned_at is not null)
           limit 100"#
    );
    for open in open.fetch_all(&billing.database).await? {
        if let Err(error) = close(billing, selling, open.id, open.session_id.as_deref()).await {
            tracing::warn!(checkout = %open.id, %error, "a checkout of somebody who is gone is still open");
        }
    }
    Ok(())
}

/// Longer than an outage of ours should last.
const LOOK_BACK: TimeDelta = TimeDelta::days(14);
/// For one piece of work.
const LONGEST: Duration = Duration::from_secs(300);
