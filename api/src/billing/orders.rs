//! What a provider is to do: an order is a row, written with what it follows from, and carried out under its own id, so that it is done once
//! however often it is asked for.

use std::time::Duration;

use caudal_billing::stripe::Request;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::again;
use super::stripe::ProviderError;
use super::sync::{Known, want, want_now};
use crate::app::Billing;
use crate::error::Error;
use crate::outbox::{self, Attempt, Job, Outcome};

/// Has a subscription ended at once, or what is left of a payment given back. While the same waits, or was
/// settled a short time ago, nothing is added. Whether something was.
pub(super) async fn give(
    db: &mut PgConnection,
    subscription: Uuid,
    payment: Option<&str>,
) -> Result<bool, Error> {
    let (id, kind) = (Uuid::now_v7(), if payment.is_some() { "refund" } else { "cancel" });
    let given = sqlx::query!(
        r#"insert into billing_orders (id, subscription_id, kind, payment_id, status)
           select $1, $2, $3::varchar, p.id, 'waiting'
           from (select 1) one left join payments p on p.provider = 'stripe' and p.provider_payment_id = $4
           where not exists (
               select from billing_orders o
               where o.subscription_id = $2 and o.kind = $3::varchar and o.payment_id is not distinct from p.id
                 and o.settled_at > now() - make_interval(secs => $5)
           )
           on conflict do nothing"#,
        id,
        subscription,
        kind,
        payment,
        NOT_AGAIN_FOR.as_secs_f64()
    );
    let is_new = given.execute(&mut *db).await?.rows_affected() > 0;
    if is_new {
        outbox::put(db, &Job::CarryOutBillingOrder { order: id }).await?;
    }
    Ok(is_new)
}

/// Whether a provider has not done all that was ordered for a subscription.
pub(super) async fn are_waiting(database: &PgPool, subscription: Uuid) -> Result<bool, sqlx::Error> {
    let waiting = sqlx::query_scalar!(
        r#"select exists (select from billing_orders where subscription_id = $1 and status = 'waiting') as "waiting!""#,
        subscription
    );
    waiting.fetch_one(database).await
}

/// Job: has a provider carry an order out.
pub(crate) async fn carry_out(billing: &Billing, order: Uuid, attempt: Attempt) -> Result<Outcome, Error> {
    let Ok(selling) = billing.selling() else {
        return Ok(again(attempt, "nothing is sold just now".to_owned()));
    };
    let found = sqlx::query!(
        r#"select o.kind, s.provider_subscription_id, p.provider_money_id as "money?"
           from billing_orders o join subscriptions s on s.id = o.subscription_id left join payments p on p.id = o.payment_id
           where o.id = $1 and o.status = 'waiting'"#,
        order
    );
    let Some(found) = found.fetch_optional(&billing.database).await? else { return Ok(Outcome::Done) };
    let request = match (found.kind.as_str(), &found.money) {
        ("cancel", _) => Request::cancel_now(&found.provider_subscription_id, order),
        ("refund", Some(money)) => Request::give_back(money, order),
        // Nothing was paid, so nothing goes back.
        ("refund", None) => return settle(billing, order, &found.provider_subscription_id, None).await,
        (other, _) => return Err(Error::Internal(format!("this version knows no order to {other}"))),
    };
    let subscription = found.provider_subscription_id.as_str();
    match (found.kind.as_str(), selling.stripe.make(&request).await) {
        (_, Ok(_)) | ("cancel", Err(ProviderError::Unknown)) => {
            settle(billing, order, subscription, None).await
        }
        // Done by somebody else, or by an earlier try of which nobody heard.
        ("refund", Err(ProviderError::Refused { code, .. })) if code == "charge_already_refunded" => {
            settle(billing, order, subscription, None).await
        }
        ("cancel", Err(ProviderError::Refused { code, .. })) if code == "resource_missing" => {
            settle(billing, order, subscription, None).await
        }
        (_, Err(ProviderError::Away(reason))) => {
            // Stripe repeats an answer of 500 for as long as it knows the key, whatever it did: what the subscription is tells whether it was done.
            want_now(billing, &Known::subscription(subscription)).await?;
            Ok(again(attempt, reason))
        }
        (kind, Err(refused)) => {
            let reason = refused.to_string();
            tracing::error!(%order, kind, reason, "the payment provider refused an order; the subscription is looked at again");
            settle(billing, order, subscription, Some(&reason)).await
        }
    }
}

/// Notes which orders have come about, by whoever's doing: an answer may have been lost, and somebody may have been quicker at the provider.
pub(super) async fn note_done(db: &mut PgConnection, subscription: Uuid, is_over: bool) -> Result<(), Error> {
    sqlx::query!(
        r#"update billing_orders o set status = 'done', settled_at = now()
           where subscription_id = $1 and status = 'waiting'
             and (kind = 'cancel' and $2
                  or kind = 'refund' and exists (select from payments p where p.id = o.payment_id and p.refunded_minor = p.amount_minor))"#,
        subscription,
        is_over
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes what came of an order, and has the subscription looked at: what it is now, only the provider knows.
async fn settle(
    billing: &Billing,
    order: Uuid,
    subscription: &str,
    refused: Option<&str>,
) -> Result<Outcome, Error> {
    let mut tx = billing.database.begin().await?;
    // Before the order, because what writes a subscription takes them in this order too.
    want(&mut tx, &Known::subscription(subscription)).await?;
    sqlx::query!(
        r#"update billing_orders
           set status = case when $2::text is null then 'done' else 'refused' end, reason = left($2, 500), settled_at = now()
           where id = $1 and status = 'waiting'"#,
        order,
        refused
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// Until what was refused or done may be ordered again: a dispute that is open now may be won, and a bank may send a refund back. A provider gives back no
/// more than is left.
const NOT_AGAIN_FOR: Duration = Duration::from_secs(3_600);
