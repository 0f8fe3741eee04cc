//! What streamers are owed. Rows are added and never changed: what a payment is worth now, less what was written of it before.

use std::fmt::Write as _;

use caudal_billing::{DisputeOutcome, Minor, Payment};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Billing;
use crate::error::Error;

/// What somebody is owed, and for what.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Owed)]
pub(crate) struct Owed {
    #[schema(example = "EUR")]
    currency: String,
    /// In its smallest unit, after the platform's fee.
    #[serde(rename = "owed")]
    #[schema(example = 12_345)]
    amount: i64,
    subscribers: Subscribers,
    /// The latest hundred.
    entries: Vec<Entry>,
}

/// How many subscribe to each tier.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = SubscriberCounts)]
pub(crate) struct Subscribers {
    basic: i64,
    pro: i64,
    premium: i64,
}

/// Something that changed what somebody is owed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LedgerEntry)]
pub(crate) struct Entry {
    at: DateTime<Utc>,
    /// Below zero where money went back.
    #[schema(example = 399)]
    amount: i64,
    /// `payment`, `refund`, `dispute` or `dispute_won`.
    #[schema(example = "payment")]
    reason: String,
    #[schema(example = "pro")]
    tier: String,
    payment_id: Uuid,
}

/// Writes down what a payment is worth more or less than was written of it. Writing it again writes nothing.
pub(super) async fn correct(
    db: &mut PgConnection,
    streamer: Uuid,
    payment_id: Uuid,
    payment: &Payment,
    owed: Minor,
) -> Result<(), Error> {
    let written = sqlx::query_scalar!(
        r#"select coalesce(sum(amount_minor), 0)::bigint as "written!" from ledger where payment_id = $1"#,
        payment_id
    );
    let difference = owed.minus(Minor(written.fetch_one(&mut *db).await?));
    if difference == Minor::ZERO {
        return Ok(());
    }
    let outcome = payment.dispute.map(|dispute| dispute.outcome);
    let reason = match (outcome, difference > Minor::ZERO) {
        (Some(DisputeOutcome::Won), true) => "dispute_won",
        (Some(DisputeOutcome::Open | DisputeOutcome::Lost), false) => "dispute",
        (_, true) => "payment",
        (_, false) => "refund",
    };
    sqlx::query!(
        r#"insert into ledger (id, streamer_id, payment_id, currency, amount_minor, reason) select $1, $2, $3, currency, $4, $5 from payments where id = $3"#,
        Uuid::now_v7(),
        streamer,
        payment_id,
        difference.0,
        reason
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What somebody is owed now.
pub(crate) async fn owed_to(billing: &Billing, streamer: Uuid) -> Result<Owed, Error> {
    let currency = billing.selling()?.config.currency.to_string();
    let database = &billing.database;
    let owed = sqlx::query_scalar!(
        r#"select coalesce(sum(amount_minor), 0)::bigint as "owed!" from ledger where streamer_id = $1 and currency = $2"#,
        streamer,
        currency
    );
    let owed = owed.fetch_one(database).await?;
    let counts = sqlx::query!(
        r#"select tier, count(*) as "count!" from subscriptions
           where streamer_id = $1 and status <> 'expired' and greatest(expires_at, grace_until) > now() group by tier"#,
        streamer
    );
    let mut subscribers = Subscribers::default();
    for row in counts.fetch_all(database).await? {
        match row.tier.as_str() {
            "basic" => subscribers.basic = row.count,
            "pro" => subscribers.pro = row.count,
            _ => subscribers.premium = row.count,
        }
    }
    let entries = sqlx::query_as!(
        Entry,
        r#"select l.created_at as at, l.amount_minor as amount, l.reason, p.tier, l.payment_id
           from ledger l join payments p on p.id = l.payment_id
           where l.streamer_id = $1 and l.currency = $2 order by l.id desc limit 100"#,
        streamer,
        currency
    )
    .fetch_all(database)
    .await?;
    Ok(Owed { currency, amount: owed, subscribers, entries })
}

/// Everything, for a spreadsheet: RFC 4180, the earliest first. None of its fields can hold a comma or a quote.
pub(crate) async fn csv(billing: &Billing, streamer: Uuid) -> Result<String, Error> {
    billing.selling()?;
    let rows = sqlx::query!(
        r#"select l.created_at, l.amount_minor, l.currency, l.reason, p.tier, l.payment_id, p.paid_at
           from ledger l join payments p on p.id = l.payment_id where l.streamer_id = $1 order by l.id limit 100000"#,
        streamer
    )
    .fetch_all(&billing.database)
    .await?;
    let mut csv = "at,amount_minor,currency,reason,tier,payment,paid_at\r\n".to_owned();
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    for row in rows {
        // A text takes whatever is written to it.
        let _ = write!(
            csv,
            "{},{},{},{},{},{},{}\r\n",
            time(row.created_at),
            row.amount_minor,
            row.currency,
            row.reason,
            row.tier,
            row.payment_id,
            time(row.paid_at)
        );
    }
    Ok(csv)
}
