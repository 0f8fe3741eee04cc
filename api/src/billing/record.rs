//! A provider's answer about a subscription, as rows: the subscription itself, its payments, what its streamer is owed, and what follows.

use std::collections::HashMap;

use caudal_billing::stripe::{Fetched, Paid};
use caudal_billing::{
    Claim, DisputeOutcome, Fee, Folded, Minor, Order, PaymentId, Phase, Row, Status, Tier, fold, owed,
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ledger;
use super::letters::{SubscriptionLetter, write_to};
use super::orders;
use crate::app::Selling;
use crate::error::Error;
use crate::outbox::{self, Job};

/// Turns an answer into rows.
pub(super) async fn write(
    tx: &mut PgConnection,
    selling: &Selling,
    at_provider: &str,
    fetched: &Fetched,
    asked_at: DateTime<Utc>,
) -> Result<(), Error> {
    let ours = match fetched.checkout.filter(|_| fetched.livemode == selling.stripe.livemode()) {
        Some(checkout) => Ours::find(&mut *tx, checkout).await?,
        None => None,
    };
    // Somebody else's, on the same account.
    let Some(ours) = ours else { return Ok(()) };
    // Of two subscriptions for one channel one is written after the other.
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("subscription {} {}", ours.user, ours.streamer))
        .execute(&mut *tx)
        .await?;
    let prices = prices(&mut *tx, ours.streamer).await?;
    let snapshot = fetched.snapshot(|price| prices.get(price).map(|(_, tier)| *tier));
    if snapshot.payments.len() < fetched.paid.len() {
        tracing::warn!(
            subscription = at_provider,
            "something was paid at a price that nobody here has set; it counts for nothing"
        );
    }
    let before = Before::find(&mut *tx, at_provider).await?;
    let claim = ours.claim(&mut *tx, before.as_ref()).await?;
    let row_before = before.as_ref().map(|before| &before.row);
    let Folded { row, surplus, orders } =
        fold(row_before, &snapshot, claim, selling.config.rules(), asked_at);
    let Some(row) = row else {
        note_unpaid(&mut *tx, &ours, before.as_ref(), snapshot.phase).await?;
        return Ok(());
    };
    let id = before.as_ref().map_or_else(Uuid::now_v7, |before| before.id);
    let item_price = fetched.item.as_ref().map(|(_, price, _)| price.as_str());
    let plan = item_price.and_then(|price| prices.get(price)).map_or(ours.plan, |(plan, _)| *plan);
    let started_at = snapshot.payments.iter().map(|payment| payment.paid_at).min().unwrap_or(asked_at);
    save_row(&mut *tx, id, &ours, at_provider, plan, &row, fetched, started_at, asked_at).await?;
    for payment in &snapshot.payments {
        let is_surplus = surplus.contains(&payment.id);
        let paid = fetched.paid.iter().find(|paid| paid.invoice == payment.id.0);
        let saved = save_payment(&mut *tx, id, payment, paid, is_surplus, selling.config.fee).await?;
        let fee = u8::try_from(saved.fee_percent).ok().and_then(|percent| Fee::of_percent(percent).ok());
        let owed = if is_surplus { Minor::ZERO } else { owed(payment, fee.unwrap_or(selling.config.fee)) };
        ledger::correct(&mut *tx, ours.streamer, saved.id, payment, owed).await?;
    }
    orders::note_done(&mut *tx, id, matches!(snapshot.phase, Phase::Ended(_))).await?;
    for order in orders {
        let payment = match &order {
            Order::Cancel => None,
            Order::Refund(PaymentId(payment)) => Some(payment.as_str()),
        };
        orders::give(&mut *tx, id, payment).await?;
    }
    let refused = row.accepted_through.is_none();
    sqlx::query!(
        "update checkouts set status = $2 where id = $1",
        ours.checkout,
        if refused { "refused" } else { "paid" }
    )
    .execute(&mut *tx)
    .await?;
    if before.is_none() && row.status != Status::Expired {
        outbox::put(&mut *tx, &Job::NewSubscriber { subscription: id }).await?;
        write_to(&mut *tx, id, SubscriptionLetter::Subscribed).await?;
    }
    if row.past_due && before.as_ref().is_some_and(|before| !before.row.past_due) {
        write_to(&mut *tx, id, SubscriptionLetter::Unpaid).await?;
    }
    Ok(())
}

/// Of a subscription for which nothing was paid. Stripe makes those of its pages when they are paid, unless a bank takes days for it: one that ended
/// unpaid leaves its viewer free to try again.
async fn note_unpaid(
    db: &mut PgConnection,
    ours: &Ours,
    before: Option<&Before>,
    phase: Phase,
) -> Result<(), sqlx::Error> {
    if let Some(before) = before {
        tracing::error!(subscription = %before.id, "Stripe says that nothing was ever paid for a subscription that was paid for; it is left as it was");
        sqlx::query!("update subscriptions set synced_at = now() where id = $1", before.id)
            .execute(&mut *db)
            .await?;
    }
    if matches!(phase, Phase::Ended(_)) {
        sqlx::query!(
            "update checkouts set status = 'expired' where id = $1 and status = 'open'",
            ours.checkout
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// A checkout of ours, of which a subscription came.
struct Ours {
    checkout: Uuid,
    user: Uuid,
    streamer: Uuid,
    plan: Uuid,
    /// Neither of them is banned or gone.
    both_here: bool,
}

impl Ours {
    async fn find(db: &mut PgConnection, checkout: Uuid) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as!(
            Self,
            r#"select c.id as checkout, c.user_id as "user", c.streamer_id as streamer, c.plan_id as plan,
                      u.deleted_at is null and u.banned_at is null and s.deleted_at is null and s.banned_at is null as "both_here!"
               from checkouts c join users u on u.id = c.user_id join users s on s.id = c.streamer_id
               where c.id = $1"#,
            checkout
        )
        .fetch_optional(db)
        .await
    }

    /// Whether there is room for it.
    async fn claim(&self, db: &mut PgConnection, before: Option<&Before>) -> Result<Claim, sqlx::Error> {
        if let Some(before) = before {
            return Ok(if before.row.accepted_through.is_some() { Claim::First } else { Claim::Surplus });
        }
        let taken = sqlx::query_scalar!(
            r#"select exists (
                   select from subscriptions where user_id = $1 and streamer_id = $2 and status <> 'expired'
               ) as "taken!""#,
            self.user,
            self.streamer
        );
        Ok(if taken.fetch_one(db).await? || !self.both_here { Claim::Surplus } else { Claim::First })
    }
}

/// The row that there is.
struct Before {
    id: Uuid,
    row: Row,
}

impl Before {
    async fn find(db: &mut PgConnection, subscription: &str) -> Result<Option<Self>, Error> {
        let found = sqlx::query!(
            r#"select id, tier, status, expires_at, grace_until, pending_tier, past_due, disputed, accepted_through
               from subscriptions where provider = 'stripe' and provider_subscription_id = $1 for no key update"#,
            subscription
        );
        let Some(found) = found.fetch_optional(db).await? else { return Ok(None) };
        let unknown =
            |what: &str| Error::Internal(format!("a subscription whose {what} this version does not know"));
        let row = Row {
            status: found.status.parse().map_err(|_| unknown("status"))?,
            tier: found.tier.parse().map_err(|_| unknown("tier"))?,
            expires_at: found.expires_at,
            grace_until: found.grace_until,
            pending_tier: found.pending_tier.and_then(|tier| tier.parse().ok()),
            past_due: found.past_due,
            disputed: found.disputed,
            accepted_through: found.accepted_through,
        };
        Ok(Some(Self { id: found.id, row }))
    }
}

/// What a streamer has ever sold, by what Stripe calls it.
async fn prices(db: &mut PgConnection, streamer: Uuid) -> Result<HashMap<String, (Uuid, Tier)>, Error> {
    let rows = sqlx::query!(
        r#"select pp.price_id, p.id, p.tier from plans p join plan_prices pp on pp.plan_id = p.id and pp.provider = 'stripe'
           where p.streamer_id = $1"#,
        streamer
    );
    let rows = rows.fetch_all(db).await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.price_id, (row.id, row.tier.parse().ok()?)))).collect())
}

#[expect(clippy::too_many_arguments, reason = "a row has so many columns")]
async fn save_row(
    db: &mut PgConnection,
    id: Uuid,
    ours: &Ours,
    at_provider: &str,
    plan: Uuid,
    row: &Row,
    fetched: &Fetched,
    started_at: DateTime<Utc>,
    asked_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into subscriptions (id, user_id, streamer_id, tier, status, started_at, expires_at, grace_until, pending_tier,
               past_due, disputed, accepted_through, provider, provider_subscription_id, checkout_id, plan_id, provider_status,
               pay_url, synced_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'stripe', $13, $14, $15, left($16, 32), $17, $18)
           on conflict (id) do update
           set tier = excluded.tier, status = excluded.status, expires_at = excluded.expires_at,
               grace_until = excluded.grace_until, pending_tier = excluded.pending_tier, past_due = excluded.past_due,
               disputed = excluded.disputed, accepted_through = excluded.accepted_through, plan_id = excluded.plan_id,
               provider_status = excluded.provider_status, pay_url = excluded.pay_url, synced_at = excluded.synced_at"#,
        id,
        ours.user,
        ours.streamer,
        row.tier.as_str(),
        row.status.as_str(),
        started_at,
        row.expires_at,
        row.grace_until,
        row.pending_tier.map(Tier::as_str),
        row.past_due,
        row.disputed,
        row.accepted_through,
        at_provider,
        ours.checkout,
        plan,
        fetched.status,
        fetched.pay_url.as_ref().filter(|_| row.past_due || fetched.change_is_pending),
        asked_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A payment as the table has it.
struct SavedPayment {
    id: Uuid,
    /// Of the day on which it came.
    fee_percent: i16,
}

async fn save_payment(
    db: &mut PgConnection,
    subscription: Uuid,
    payment: &caudal_billing::Payment,
    paid: Option<&Paid>,
    surplus: bool,
    fee: Fee,
) -> Result<SavedPayment, sqlx::Error> {
    let dispute = payment.dispute.map(|dispute| match dispute.outcome {
        DisputeOutcome::Open => "open",
        DisputeOutcome::Won => "won",
        DisputeOutcome::Lost => "lost",
    });
    sqlx::query_as!(
        SavedPayment,
        r#"insert into payments (id, subscription_id, provider, provider_payment_id, provider_money_id, tier, currency,
               amount_minor, refunded_minor, dispute, fee_percent, surplus, period_from, period_to, paid_at, receipt_url)
           values ($1, $2, 'stripe', $3, $4, $5, upper($6), $7, $8, $9, $10, $11, $12, $13, $14, $15)
           on conflict (provider, provider_payment_id) do update
           set refunded_minor = excluded.refunded_minor, dispute = excluded.dispute, surplus = excluded.surplus,
               provider_money_id = excluded.provider_money_id, receipt_url = excluded.receipt_url
           returning id, fee_percent"#,
        Uuid::now_v7(),
        subscription,
        payment.id.0,
        paid.and_then(|paid| paid.intent.as_deref()),
        payment.tier.as_str(),
        paid.map_or("", |paid| &paid.currency),
        payment.amount.0,
        payment.refunded.0,
        dispute,
        i16::from(fee.percent()),
        surplus,
        payment.from,
        payment.to,
        payment.paid_at,
        paid.and_then(|paid| paid.receipt_url.as_deref())
    )
    .fetch_one(db)
    .await
}
