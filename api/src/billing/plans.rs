//! What streamers sell: a price for each tier, within the operator's bounds.

use std::collections::HashMap;

use caudal_billing::stripe::{PriceOrder, Request};
use caudal_billing::{Minor, Tier};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::config::TierPrice;
use super::subscription::{SubscriptionView, to_channel};
use crate::app::{Billing, Selling};
use crate::auth::Caller;
use crate::error::Error;
use crate::input::{FieldError, InputError};

/// What can be had of a channel.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChannelPlans)]
pub(crate) struct OfferView {
    streamer_id: Uuid,
    /// Whether anything is sold.
    selling: bool,
    /// How it can be paid: `card`.
    payment_methods: Vec<&'static str>,
    /// The cheapest first.
    plans: Vec<PlanView>,
    /// For how many days a subscription can be withdrawn from, with the money back.
    withdrawal_days: i64,
    /// The caller's own, if they have one.
    subscription: Option<SubscriptionView>,
}

/// A price for a tier.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Plan)]
pub(crate) struct PlanView {
    #[schema(value_type = String, example = "pro")]
    tier: Tier,
    /// In the currency's smallest unit, tax included.
    #[schema(example = 999)]
    amount: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    tax_included: bool,
    /// How often it is paid: `month`.
    interval: &'static str,
}

/// What the caller sells, and may.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OwnPlans)]
pub(crate) struct PlansOfStreamer {
    #[schema(example = "EUR")]
    currency: String,
    /// What may be asked for each tier.
    bounds: HashMap<&'static str, Bounds>,
    /// What the platform keeps, in percent.
    fee_percent: u8,
    plans: Vec<OwnPlan>,
}

/// What may be asked for a tier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PriceBounds)]
pub(crate) struct Bounds {
    min: i64,
    max: i64,
    usual: i64,
}

/// What the caller asks for a tier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnPlan)]
pub(crate) struct OwnPlan {
    #[schema(value_type = String, example = "pro")]
    tier: Tier,
    amount: i64,
}

/// A plan that is sold.
pub(super) struct Plan {
    pub(super) id: Uuid,
    pub(super) amount: Minor,
}

/// What can be had of a channel, and what of it the caller has.
pub(crate) async fn offer_of(
    billing: &Billing,
    streamer: Uuid,
    caller: Option<Caller>,
) -> Result<OfferView, Error> {
    let Ok(Selling { config, .. }) = billing.selling() else { return Ok(OfferView::nothing_of(streamer)) };
    let rows = sqlx::query!(
        r#"select tier, amount_minor, currency from plans where streamer_id = $1 and currency = $2 and retired_at is null order by amount_minor"#,
        streamer,
        config.currency.to_string()
    )
    .fetch_all(&billing.database)
    .await?;
    let plans: Vec<PlanView> = rows
        .into_iter()
        .filter_map(|row| {
            let tier = row.tier.parse().ok()?;
            let (amount, currency) = (row.amount_minor, row.currency);
            Some(PlanView { tier, amount, currency, tax_included: true, interval: "month" })
        })
        .collect();
    let subscription = match caller {
        Some(caller) => to_channel(billing, caller.user, streamer).await?,
        None => None,
    };
    let withdrawal_days = config.withdrawal().num_days();
    let (selling, payment_methods) = (!plans.is_empty(), vec!["card"]);
    Ok(OfferView { streamer_id: streamer, selling, payment_methods, plans, withdrawal_days, subscription })
}

/// What somebody sells, and may.
pub(crate) async fn plans_of(billing: &Billing, streamer: Uuid) -> Result<PlansOfStreamer, Error> {
    let Selling { config, .. } = billing.selling()?;
    let rows = sqlx::query!(
        r#"select tier, amount_minor from plans
           where streamer_id = $1 and currency = $2 and retired_at is null order by amount_minor"#,
        streamer,
        config.currency.to_string()
    )
    .fetch_all(&billing.database)
    .await?;
    let own = |tier: String, amount| Some(OwnPlan { tier: tier.parse().ok()?, amount });
    Ok(PlansOfStreamer {
        currency: config.currency.to_string(),
        bounds: Tier::ALL
            .into_iter()
            .map(|tier| (tier.as_str(), Bounds::of(config.prices.of(tier))))
            .collect(),
        fee_percent: config.fee.percent(),
        plans: rows.into_iter().filter_map(|row| own(row.tier, row.amount_minor)).collect(),
    })
}

/// Sells a tier at a price from now on. Who has it at another one keeps that.
pub(crate) async fn sell(billing: &Billing, caller: Caller, tier: Tier, amount: Minor) -> Result<(), Error> {
    let Selling { config, .. } = billing.selling()?;
    let TierPrice { min, max, .. } = config.prices.of(tier);
    if !(min..=max).contains(&amount) {
        let words = format!("between {} and {} of the smallest unit of {}", min.0, max.0, config.currency);
        return Err(InputError::Invalid(vec![FieldError::new("/amount", "invalid", words)]).into());
    }
    let mut tx = billing.database.begin().await?;
    lock_seller(&mut tx, caller.user).await?;
    let currency = config.currency.to_string();
    let sold = sqlx::query_scalar!(
        r#"select amount_minor from plans where streamer_id = $1 and tier = $2 and currency = $3 and retired_at is null"#,
        caller.user,
        tier.as_str(),
        currency
    );
    if sold.fetch_optional(&mut *tx).await? == Some(amount.0) {
        return Ok(());
    }
    retire(&mut tx, caller.user, tier).await?;
    sqlx::query!(
        "insert into plans (id, streamer_id, tier, currency, amount_minor) values ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        caller.user,
        tier.as_str(),
        currency,
        amount.0
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Sells a tier no more. Who has it keeps it.
pub(crate) async fn stop_selling(billing: &Billing, caller: Caller, tier: Tier) -> Result<(), Error> {
    billing.selling()?;
    let mut tx = billing.database.begin().await?;
    retire(&mut tx, caller.user, tier).await?;
    Ok(tx.commit().await?)
}

/// So that of two prices at once the later one holds.
async fn lock_seller(db: &mut sqlx::PgConnection, streamer: Uuid) -> Result<(), Error> {
    sqlx::query_scalar!("select id from users where id = $1 for no key update", streamer)
        .fetch_optional(db)
        .await?;
    Ok(())
}

async fn retire(db: &mut sqlx::PgConnection, streamer: Uuid, tier: Tier) -> Result<(), Error> {
    sqlx::query!(
        "update plans set retired_at = now() where streamer_id = $1 and tier = $2 and retired_at is null",
        streamer,
        tier.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The plan by which a tier of a channel is sold now.
pub(super) async fn sold(billing: &Billing, streamer: Uuid, tier: Tier) -> Result<Plan, Error> {
    let currency = billing.selling()?.config.currency.to_string();
    let found = sqlx::query!(
        r#"select p.id, p.amount_minor from plans p join users u on u.id = p.streamer_id
           where p.streamer_id = $1 and p.tier = $2 and p.currency = $3 and p.retired_at is null and u.banned_at is null and u.deleted_at is null"#,
        streamer,
        tier.as_str(),
        currency
    );
    let found = found.fetch_optional(&billing.database).await?.ok_or_else(|| {
        let words = "this channel does not sell that tier";
        InputError::Invalid(vec![FieldError::new("/tier", "unknown", words)])
    })?;
    Ok(Plan { id: found.id, amount: Minor(found.amount_minor) })
}

/// A plan's name at Stripe, which is asked to make one where there is none yet, or where it does not know that one any more (`anew`).
pub(super) async fn price_at_stripe(
    billing: &Billing,
    selling: &Selling,
    plan: &Plan,
    (tier, streamer): (Tier, Uuid),
    anew: bool,
) -> Result<String, Error> {
    let database = &billing.database;
    let known = sqlx::query_scalar!(
        "select price_id from plan_prices where plan_id = $1 and provider = 'stripe' order by created_at desc",
        plan.id
    );
    let known = known.fetch_all(database).await?;
    if let Some(price) = known.first().filter(|_| !anew) {
        return Ok(price.clone());
    }
    let name =
        sqlx::query_scalar!("select username from users where id = $1", streamer).fetch_one(database).await?;
    let product = format!("{}: {name}, {tier}", billing.urls.host());
    let order = PriceOrder {
        plan: plan.id,
        number: known.len(),
        product: &product,
        amount: plan.amount,
        currency: selling.config.currency,
    };
    let made = selling.stripe.make(&Request::create_price(&order)).await?;
    // Whoever asked at the same time got the same one.
    sqlx::query!(
        "insert into plan_prices (provider, price_id, plan_id) values ('stripe', $1, $2) on conflict do nothing",
        made.id,
        plan.id
    )
    .execute(database)
    .await?;
    Ok(made.id)
}

impl OfferView {
    /// Of a server that sells nothing: its pages ask like all others, and their consoles stay clean.
    fn nothing_of(streamer_id: Uuid) -> Self {
        let (plans, payment_methods) = (Vec::new(), Vec::new());
        Self { streamer_id, selling: false, payment_methods, plans, withdrawal_days: 0, subscription: None }
    }

    /// Whether it is an offer to somebody: of something, and not of their own.
    pub(crate) fn is_to(&self, user: Uuid) -> bool {
        self.selling && self.streamer_id != user
    }
}

impl Bounds {
    fn of(TierPrice { min, max, usual }: TierPrice) -> Self {
        Self { min: min.0, max: max.0, usual: usual.0 }
    }
}
