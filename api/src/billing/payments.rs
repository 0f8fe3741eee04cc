//! What somebody paid.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::Streamer;
use crate::app::Billing;
use crate::error::Error;
use crate::page::{Page, Paging, decode_cursor};

/// Something that somebody paid.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubscriptionPayment)]
pub(crate) struct PaymentView {
    id: Uuid,
    subscription_id: Uuid,
    streamer: Streamer,
    #[schema(example = "pro")]
    tier: String,
    /// In the currency's smallest unit.
    #[schema(example = 999)]
    amount: i64,
    /// How much of it went back.
    refunded: i64,
    #[schema(example = "EUR")]
    currency: String,
    paid_at: DateTime<Utc>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// `paid`, `refunded`, `partly_refunded` or `disputed`.
    #[schema(example = "paid")]
    status: &'static str,
    /// Of the provider.
    receipt_url: Option<String>,
}

/// Where a page ended.
#[derive(Serialize, Deserialize)]
struct ById {
    id: Uuid,
}

/// What somebody paid, the latest first.
pub(crate) async fn payments_of(
    billing: &Billing,
    user: Uuid,
    uri: &axum::http::Uri,
    paging: &Paging,
) -> Result<Page<PaymentView>, Error> {
    billing.selling()?;
    let before = decode_cursor::<ById>(paging.cursor.as_deref())?.map(|place| place.id);
    let rows = sqlx::query!(
        r#"select p.id, p.subscription_id, p.tier, p.amount_minor, p.refunded_minor, p.currency, p.paid_at, p.period_from, p.period_to,
                  coalesce(p.dispute = 'open' or p.dispute = 'lost', false) as "disputed!", p.receipt_url,
                  u.id as streamer_id, u.username, u.display_name, u.avatar_url
           from subscriptions s join payments p on p.subscription_id = s.id join users u on u.id = s.streamer_id
           where s.user_id = $1 and ($2::uuid is null or p.id < $2) order by p.id desc limit $3"#,
        user,
        before,
        paging.limit.rows()
    )
    .fetch_all(&billing.database)
    .await?;
    Ok(Page::new(
        rows,
        paging.limit.items(),
        uri,
        |row| ById { id: row.id },
        |row| PaymentView {
            id: row.id,
            subscription_id: row.subscription_id,
            streamer: Streamer {
                id: row.streamer_id,
                username: row.username,
                display_name: row.display_name,
                avatar: row.avatar_url,
            },
            tier: row.tier,
            status: match (row.disputed, row.refunded_minor) {
                (true, _) => "disputed",
                (false, 0) => "paid",
                (false, refunded) if refunded < row.amount_minor => "partly_refunded",
                (false, _) => "refunded",
            },
            amount: row.amount_minor,
            refunded: row.refunded_minor,
            currency: row.currency,
            paid_at: row.paid_at,
            from: row.period_from,
            to: row.period_to,
            receipt_url: row.receipt_url,
        },
    ))
}
