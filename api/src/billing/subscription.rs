//! Subscriptions as people see them, and what their owners do with them.

use caudal_billing::stripe::{Fetched, Request};
use caudal_billing::{Minor, Phase, Tier};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::BillingError;
use super::letters::{SubscriptionLetter, write_to};
use super::orders;
use super::plans;
use super::stripe::{Failed, ProviderError};
use super::sync::{Known, look_now, want_now};
use crate::account::Streamer;
use crate::app::{Billing, Selling};
use crate::auth::Caller;
use crate::error::Error;
use crate::page::{Page, Paging, decode_cursor};

/// A subscription, for whoever has it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionView {
    id: Uuid,
    streamer: Streamer,
    #[schema(example = "pro")]
    tier: String,
    /// `active`, `cancelled` (it is not renewed) or `expired`.
    #[schema(example = "active")]
    status: String,
    /// Until when it is paid for, or was.
    expires_at: DateTime<Utc>,
    renews: bool,
    /// Whether it can be renewed after all.
    can_resume: bool,
    /// The tier from the next renewal on, where that is another one.
    pending_tier: Option<String>,
    /// A renewal has failed; until then it entitles all the same.
    grace_until: Option<DateTime<Utc>>,
    /// `payment_failed` or `disputed`.
    problem: Option<&'static str>,
    /// Where a payment that failed, or that a bank wants confirmed, can be completed.
    pay_url: Option<String>,
    /// Until when it can be withdrawn from, with the money back.
    withdraw_until: Option<DateTime<Utc>>,
    /// `card`.
    payment_method: &'static str,
    /// For a month, in the currency's smallest unit.
    #[schema(example = 999)]
    amount: i64,
    #[schema(example = "EUR")]
    currency: String,
    started_at: DateTime<Utc>,
}

/// A subscriber, for the streamer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Subscriber)]
pub(crate) struct SubscriberView {
    id: Uuid,
    user: Streamer,
    #[schema(example = "pro")]
    tier: String,
    #[schema(example = "active")]
    status: String,
    started_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// Where a page ended.
#[derive(Serialize, Deserialize)]
struct ById {
    id: Uuid,
}

/// All of one person's, the latest first.
pub(crate) async fn of_user(
    billing: &Billing,
    user: Uuid,
    uri: &axum::http::Uri,
    paging: &Paging,
) -> Result<Page<SubscriptionView>, Error> {
    let selling = billing.selling()?;
    let before = decode_cursor::<ById>(paging.cursor.as_deref())?.map(|place| place.id);
    let rows = select(&billing.database, Which::of(user), before, paging.limit.rows()).await?;
    Ok(Page::new(rows, paging.limit.items(), uri, |row| ById { id: row.id }, |row| row.view(selling)))
}

/// Somebody's live one of a channel.
pub(super) async fn to_channel(
    billing: &Billing,
    user: Uuid,
    streamer: Uuid,
) -> Result<Option<SubscriptionView>, Error> {
    let selling = billing.selling()?;
    let which = Which { streamer: Some(streamer), live: true, ..Which::of(user) };
    Ok(select(&billing.database, which, None, 1).await?.pop().map(|row| row.view(selling)))
}

/// Who has a subscription of a channel now, the latest first.
pub(crate) async fn of_streamer(
    billing: &Billing,
    streamer: Uuid,
    tier: Option<Tier>,
    uri: &axum::http::Uri,
    paging: &Paging,
) -> Result<Page<SubscriberView>, Error> {
    billing.selling()?;
    let before = decode_cursor::<ById>(paging.cursor.as_deref())?.map(|place| place.id);
    let rows = sqlx::query!(
        r#"select s.id, s.tier, s.status, s.started_at, s.expires_at, u.id as user_id, u.username, u.display_name, u.avatar_url
           from subscriptions s join users u on u.id = s.user_id
           where s.streamer_id = $1 and s.status <> 'expired' and ($2::text is null or s.tier = $2) and ($3::uuid is null or s.id < $3)
           order by s.id desc limit $4"#,
        streamer,
        tier.map(Tier::as_str),
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
        |row| SubscriberView {
            id: row.id,
            user: Streamer {
                id: row.user_id,
                username: row.username,
                display_name: row.display_name,
                avatar: row.avatar_url,
            },
            tier: row.tier,
            status: row.status,
            started_at: row.started_at,
            expires_at: row.expires_at,
        },
    ))
}

/// Ends it with what is paid for.
pub(crate) async fn cancel(billing: &Billing, caller: Caller, id: Uuid) -> Result<SubscriptionView, Error> {
    set_renewal(billing, caller, id, false).await
}

/// Has it renewed all the same.
pub(crate) async fn resume(billing: &Billing, caller: Caller, id: Uuid) -> Result<SubscriptionView, Error> {
    set_renewal(billing, caller, id, true).await
}

async fn set_renewal(
    billing: &Billing,
    caller: Caller,
    id: Uuid,
    renews: bool,
) -> Result<SubscriptionView, Error> {
    let selling = billing.selling()?;
    let at_provider = live(billing, caller, id).await?;
    let fetched = fetched(selling, &at_provider).await?;
    if renews && fetched.phase == Phase::Live {
        return own(billing, selling, caller, id).await;
    }
    // A schedule decides on its subscription's end as well.
    if let Some(schedule) = &fetched.schedule {
        selling.stripe.make(&Request::release_schedule(schedule)).await?;
    }
    let change = match (renews, fetched.phase) {
        // A renewal that has not been paid yet would be charged all the same.
        (false, Phase::PastDue) => Request::cancel_now(&at_provider, Uuid::now_v7()),
        _ => Request::set_renewal(&at_provider, renews),
    };
    noted(billing, &at_provider, selling.stripe.make(&change).await).await?;
    if !renews {
        let mut tx = billing.database.begin().await?;
        write_to(&mut tx, id, SubscriptionLetter::Cancelled).await?;
        tx.commit().await?;
    }
    looked_at(billing, selling, caller, id, &at_provider).await
}

/// Another tier: a higher one at once, for which the rest of the month is charged; a lower one from the next renewal on; the present one takes back
/// what was to come.
pub(crate) async fn change_tier(
    billing: &Billing,
    caller: Caller,
    id: Uuid,
    wanted: Tier,
) -> Result<SubscriptionView, Error> {
    let selling = billing.selling()?;
    let at_provider = live(billing, caller, id).await?;
    let now = sqlx::query!(
        r#"select s.streamer_id, s.tier, s.status, s.past_due, p.amount_minor
           from subscriptions s join plans p on p.id = s.plan_id where s.id = $1"#,
        id
    )
    .fetch_one(&billing.database)
    .await?;
    let present: Tier = now.tier.parse().map_err(|_| Error::Internal("a tier that nobody knows".into()))?;
    let fetched = fetched(selling, &at_provider).await?;
    if fetched.change_is_pending || now.past_due || now.status != "active" {
        return Err(BillingError::ChangePending.into());
    }
    let plan =
        if wanted == present { None } else { Some(plans::sold(billing, now.streamer_id, wanted).await?) };
    if let Some(schedule) = &fetched.schedule {
        selling.stripe.make(&Request::release_schedule(schedule)).await?;
    }
    let (item, price_now, period) = fetched.item.ok_or(BillingError::Over)?;
    // What costs less comes with the renewal, whatever it gives: the difference would be credit, for other channels too.
    let at_once = wanted > present && plan.as_ref().is_some_and(|plan| plan.amount > Minor(now.amount_minor));
    if let Some(plan) = &plan {
        let change = async |anew| {
            let price =
                plans::price_at_stripe(billing, selling, plan, (wanted, now.streamer_id), anew).await?;
            let key = Uuid::now_v7();
            if at_once {
                let upgrade = Request::upgrade(&at_provider, &item, &price, key);
                return selling.stripe.make(&upgrade).await.map_err(Failed::Provider);
            }
            let schedule = Request::schedule(&at_provider, key);
            let schedule = selling.stripe.make(&schedule).await.map_err(Failed::Provider)?;
            let phases = Request::schedule_price(&schedule.id, period, &price_now, &price, key);
            selling.stripe.make(&phases).await.map_err(Failed::Provider)
        };
        let changed = match change(false).await {
            // What Stripe called this plan was in another account, or in another mode.
            Err(failed) if failed.is_of_another_account() => change(true).await,
            changed => changed,
        };
        noted(billing, &at_provider, changed).await?;
    }
    let after = looked_at(billing, selling, caller, id, &at_provider).await?;
    // Declined outright, it stays as it was, and nothing is left to confirm.
    if at_once && after.tier != wanted.as_str() && after.pay_url.is_none() {
        return Err(BillingError::PaymentFailed.into());
    }
    Ok(after)
}

/// Ends it at once, and gives back what was paid for it.
pub(crate) async fn withdraw(billing: &Billing, caller: Caller, id: Uuid) -> Result<SubscriptionView, Error> {
    let selling = billing.selling()?;
    let at_provider = live(billing, caller, id).await?;
    // So that what was paid a moment ago goes back too.
    if let Err(error) = look_now(billing, selling, &Known::subscription(&at_provider)).await {
        tracing::debug!(%error, "a subscription could not be looked at before its withdrawal");
    }
    let mut tx = billing.database.begin().await?;
    let started = sqlx::query_scalar!(
        "select started_at from subscriptions where id = $1 and user_id = $2 for no key update",
        id,
        caller.user
    );
    let started = started.fetch_one(&mut *tx).await?;
    if Utc::now() > started + selling.config.withdrawal() {
        return Err(BillingError::WithdrawalOver.into());
    }
    let is_new = orders::give(&mut tx, id, None).await?;
    let paid = sqlx::query_scalar!(
        "select provider_payment_id from payments where subscription_id = $1 and refunded_minor < amount_minor order by paid_at",
        id
    );
    for payment in paid.fetch_all(&mut *tx).await? {
        orders::give(&mut tx, id, Some(&payment)).await?;
    }
    if is_new {
        write_to(&mut tx, id, SubscriptionLetter::Withdrawn).await?;
    }
    tx.commit().await?;
    // Received is received: while the provider is away, the answer is what there is, and the orders' jobs go on.
    let known = Known::subscription(&at_provider);
    let began = Instant::now();
    while began.elapsed() < CARRIED_OUT_WITHIN && orders::are_waiting(&billing.database, id).await? {
        sleep(LOOK_AGAIN).await;
    }
    if let Err(error) = look_now(billing, selling, &known).await {
        tracing::debug!(%error, "a subscription could not be looked at after its withdrawal");
    }
    own(billing, selling, caller, id).await
}

/// What the provider calls a live subscription of the caller's.
async fn live(billing: &Billing, caller: Caller, id: Uuid) -> Result<String, Error> {
    let found = sqlx::query!(
        r#"select provider_subscription_id, status = 'expired' as "over!" from subscriptions where id = $1 and user_id = $2"#,
        id,
        caller.user
    );
    match found.fetch_optional(&billing.database).await? {
        None => Err(Error::NotFound("this subscription")),
        Some(found) if found.over => Err(BillingError::Over.into()),
        Some(found) => Ok(found.provider_subscription_id),
    }
}

async fn fetched(selling: &Selling, at_provider: &str) -> Result<Fetched, Error> {
    match selling.stripe.fetch(at_provider).await {
        Ok((Fetched { phase: Phase::Ended(_), .. }, _)) | Err(ProviderError::Unknown) => {
            Err(BillingError::Over.into())
        }
        Ok((fetched, _)) => Ok(fetched),
        Err(error) => Err(error.into()),
    }
}

/// The subscription as the provider has it after a change.
async fn looked_at(
    billing: &Billing,
    selling: &Selling,
    caller: Caller,
    id: Uuid,
    at_provider: &str,
) -> Result<SubscriptionView, Error> {
    look_now(billing, selling, &Known::subscription(at_provider)).await?;
    own(billing, selling, caller, id).await
}

/// One of the caller's.
async fn own(
    billing: &Billing,
    selling: &Selling,
    caller: Caller,
    id: Uuid,
) -> Result<SubscriptionView, Error> {
    let which = Which { id: Some(id), ..Which::of(caller.user) };
    let row = select(&billing.database, which, None, 1).await?.pop();
    Ok(row.ok_or(Error::NotFound("this subscription"))?.view(selling))
}

/// A change that was asked for: whatever was answered, it may have come about.
async fn noted<T, E: Into<Error>>(
    billing: &Billing,
    at_provider: &str,
    changed: Result<T, E>,
) -> Result<T, Error> {
    if changed.is_err() {
        want_now(billing, &Known::subscription(at_provider)).await?;
    }
    changed.map_err(Into::into)
}

/// Which subscriptions of a person. What else is absent does not filter.
#[derive(Clone, Copy)]
struct Which {
    user: Uuid,
    id: Option<Uuid>,
    streamer: Option<Uuid>,
    live: bool,
}

impl Which {
    fn of(user: Uuid) -> Self {
        Self { user, id: None, streamer: None, live: false }
    }
}

struct Found {
    id: Uuid,
    tier: String,
    status: String,
    started_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    grace_until: Option<DateTime<Utc>>,
    pending_tier: Option<String>,
    past_due: bool,
    disputed: bool,
    provider_status: String,
    pay_url: Option<String>,
    amount: i64,
    currency: String,
    streamer_id: Uuid,
    username: String,
    display_name: Option<String>,
    avatar_url: Option<String>,
}

async fn select(
    database: &PgPool,
    which: Which,
    before: Option<Uuid>,
    rows: i64,
) -> Result<Vec<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        r#"select s.id, s.tier, s.status, s.started_at, s.expires_at, s.grace_until, s.pending_tier, s.past_due, s.disputed, s.provider_status, s.pay_url,
                  p.amount_minor as amount, p.currency, u.id as streamer_id, u.username, u.display_name, u.avatar_url
           from subscriptions s join plans p on p.id = s.plan_id join users u on u.id = s.streamer_id
           where ($1::uuid is null or s.id = $1) and s.user_id = $2 and ($3::uuid is null or s.streamer_id = $3)
             and (s.status <> 'expired' or not $4) and ($5::uuid is null or s.id < $5)
           order by s.id desc limit $6"#,
        which.id,
        which.user,
        which.streamer,
        which.live,
        before,
        rows
    )
    .fetch_all(database)
    .await
}

impl Found {
    fn view(self, selling: &Selling) -> SubscriptionView {
        let now = Utc::now();
        let live = self.status != "expired";
        let withdraw_until = self.started_at + selling.config.withdrawal();
        SubscriptionView {
            id: self.id,
            streamer: Streamer {
                id: self.streamer_id,
                username: self.username,
                display_name: self.display_name,
                avatar: self.avatar_url,
            },
            tier: self.tier,
            renews: self.status == "active",
            can_resume: self.status == "cancelled"
                && !self.disputed
                && !ENDED.contains(&self.provider_status.as_str()),
            status: self.status,
            expires_at: self.expires_at,
            pending_tier: self.pending_tier,
            grace_until: self.grace_until.filter(|_| self.past_due),
            problem: match (self.past_due, self.disputed) {
                (true, _) => Some("payment_failed"),
                (false, true) => Some("disputed"),
                (false, false) => None,
            },
            pay_url: self.pay_url.filter(|_| live),
            withdraw_until: Some(withdraw_until).filter(|until| live && *until > now),
            payment_method: "card",
            amount: self.amount,
            currency: self.currency,
            started_at: self.started_at,
        }
    }
}

/// Stripe's words for what it never renews.
const ENDED: [&str; 2] = ["canceled", "incomplete_expired"];
/// For a provider to do what a withdrawal orders, while somebody waits.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(30);
