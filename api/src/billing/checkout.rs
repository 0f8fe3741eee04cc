//! Somebody is about to pay.

use caudal_billing::Tier;
use caudal_billing::stripe::{CheckoutOrder, Created, Request};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::BillingError;
use super::plans::{self, Plan};
use super::stripe::{Failed, ProviderError};
use super::sync::{Known, look_now};
use crate::account::Streamer;
use crate::app::{Billing, Selling};
use crate::auth::{AuthError, Caller};
use crate::error::Error;
use crate::people::PeopleError;

/// How somebody pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PaymentMethod {
    Card,
}

/// One that is wanted.
pub(crate) struct NewCheckout {
    pub(crate) streamer: Uuid,
    pub(crate) tier: Tier,
}

/// A page of the provider's, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Checkout)]
pub(crate) struct CheckoutView {
    id: Uuid,
    /// `open`, `paid`, `expired`, or `refused`: it was paid and could not become a subscription (there was one already, or the account or the
    /// channel is gone), and the money goes back.
    #[schema(example = "open")]
    status: String,
    /// Where it can be paid, while it is open.
    url: Option<String>,
    streamer_id: Uuid,
    streamer: Streamer,
    #[schema(value_type = String, example = "pro")]
    tier: String,
    payment_method: PaymentMethod,
    /// What came of it.
    subscription_id: Option<Uuid>,
    expires_at: DateTime<Utc>,
}

impl CheckoutView {
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }
}

impl NewCheckout {
    /// Opens it. The same asked for again is the same one; another tier closes the open one first.
    pub(crate) async fn open(self, billing: &Billing, caller: Caller) -> Result<CheckoutView, Error> {
        let selling = billing.selling()?;
        if self.streamer == caller.user {
            return Err(PeopleError::Oneself.into());
        }
        let plan = plans::sold(billing, self.streamer, self.tier).await?;
        let reserved = self.reserve(billing, selling, caller, &plan).await?;
        if reserved.url.is_some() {
            return view(billing, caller.user, reserved.id).await;
        }
        let session = match self.session(billing, selling, caller, &plan, &reserved, false).await {
            // What Stripe called this viewer or this plan is gone, or was in another account or mode: the operator has changed the key.
            Err(failed) if failed.is_of_another_account() => {
                self.session(billing, selling, caller, &plan, &reserved, true).await?
            }
            session => session?,
        };
        sqlx::query!(
            "update checkouts set session_id = $2, url = $3 where id = $1 and status = 'open'",
            reserved.id,
            session.id,
            session.url
        )
        .execute(&billing.database)
        .await?;
        view(billing, caller.user, reserved.id).await
    }

    async fn session(
        &self,
        billing: &Billing,
        selling: &Selling,
        caller: Caller,
        plan: &Plan,
        reserved: &Reserved,
        anew: bool,
    ) -> Result<Created, Failed> {
        let price = plans::price_at_stripe(billing, selling, plan, (self.tier, self.streamer), anew).await?;
        let customer = customer(billing, selling, caller.user, anew).await?;
        let return_url = format!("{}/checkout/{}", billing.urls.api, reserved.id);
        let order = CheckoutOrder {
            checkout: reserved.id,
            customer: &customer,
            price: &price,
            return_url: &return_url,
            expires_at: reserved.expires_at.timestamp(),
            automatic_tax: selling.config.automatic_tax,
        };
        selling.stripe.make(&Request::open_checkout(&order)).await.map_err(Failed::Provider)
    }

    /// The open checkout of this viewer and channel: the one that is there, or a new row. Nothing is asked of a provider in a transaction.
    async fn reserve(
        &self,
        billing: &Billing,
        selling: &Selling,
        caller: Caller,
        plan: &Plan,
    ) -> Result<Reserved, Error> {
        for _ in 0..2 {
            let mut tx = billing.database.begin().await?;
            // None is opened for somebody who is banned or gone; two at once are one after the other.
            sqlx::query_scalar!(
                "select id from users where id = $1 and banned_at is null and deleted_at is null for no key update",
                caller.user
            )
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(AuthError::SessionRevoked)?;
            let subscribed = sqlx::query_scalar!(
                r#"select exists (
                       select from subscriptions where user_id = $1 and streamer_id = $2 and status <> 'expired'
                   ) as "subscribed!""#,
                caller.user,
                self.streamer
            );
            if subscribed.fetch_one(&mut *tx).await? {
                return Err(BillingError::AlreadySubscribed.into());
            }
            let open = sqlx::query!(
                r#"select id, plan_id, session_id, url, expires_at, created_at from checkouts
                   where user_id = $1 and streamer_id = $2 and status = 'open'"#,
                caller.user,
                self.streamer
            )
            .fetch_optional(&mut *tx)
            .await?;
            let other = match open {
                None => {
                    let reserved =
                        Reserved { id: Uuid::now_v7(), url: None, expires_at: Utc::now() + TO_PAY };
                    sqlx::query!(
                        r#"insert into checkouts (id, user_id, streamer_id, plan_id, provider, status, expires_at)
                           values ($1, $2, $3, $4, 'stripe', 'open', $5)"#,
                        reserved.id,
                        caller.user,
                        self.streamer,
                        plan.id,
                        reserved.expires_at
                    )
                    .execute(&mut *tx)
                    .await?;
                    tx.commit().await?;
                    return Ok(reserved);
                }
                // One that nobody was ever given is asked for anew: a page has to be open for half an hour from then on.
                Some(open)
                    if open.plan_id == plan.id
                        && open.expires_at > Utc::now() + TO_DECIDE
                        && (open.url.is_some() || open.created_at > Utc::now() - TO_OPEN) =>
                {
                    return Ok(Reserved { id: open.id, url: open.url, expires_at: open.expires_at });
                }
                Some(open) => open,
            };
            drop(tx);
            close(billing, selling, other.id, other.session_id.as_deref()).await?;
        }
        // What was open has been paid for meanwhile.
        Err(BillingError::AlreadySubscribed.into())
    }
}

struct Reserved {
    id: Uuid,
    /// It is open at the provider already.
    url: Option<String>,
    expires_at: DateTime<Utc>,
}

/// Closes an open checkout, so that nobody can pay on it any more. One that was paid stays what it is.
pub(super) async fn close(
    billing: &Billing,
    selling: &Selling,
    checkout: Uuid,
    session: Option<&str>,
) -> Result<(), Error> {
    if let Some(session) = session {
        match selling.stripe.make(&Request::expire_checkout(session)).await {
            Ok(_) | Err(ProviderError::Unknown) => {}
            // It is not open there any more: paid, or over.
            Err(ProviderError::Refused { .. }) => {
                return look_now(billing, selling, &Known::checkout(session)).await;
            }
            Err(away) => return Err(away.into()),
        }
    }
    sqlx::query!("update checkouts set status = 'expired' where id = $1 and status = 'open'", checkout)
        .execute(&billing.database)
        .await?;
    Ok(())
}

/// A checkout of the caller's. The provider is asked what became of it, so that paying works where no webhook reaches this server.
pub(crate) async fn show_checkout(
    billing: &Billing,
    caller: Caller,
    id: Uuid,
) -> Result<CheckoutView, Error> {
    let selling = billing.selling()?;
    let open = sqlx::query!(
        r#"select session_id as "session_id!" from checkouts
           where id = $1 and user_id = $2 and status = 'open' and session_id is not null
             and not exists (
                 select from billing_syncs b
                 where b.provider = 'stripe' and b.object_id = session_id and b.changed_at > now() - interval '1 second'
             )"#,
        id,
        caller.user
    );
    // However often somebody asks, the provider is asked once a second.
    if let Some(open) = open.fetch_optional(&billing.database).await? {
        let known = Known::checkout(&open.session_id);
        // Whoever waits for it asks again in a moment.
        if let Err(error) = look_now(billing, selling, &known).await {
            tracing::debug!(%error, "a checkout could not be looked at");
        }
    }
    view(billing, caller.user, id).await
}

async fn view(billing: &Billing, user: Uuid, id: Uuid) -> Result<CheckoutView, Error> {
    let found = sqlx::query!(
        r#"select c.id, c.status, c.url, c.streamer_id, p.tier, c.expires_at, s.id as "subscription_id?",
                  u.username, u.display_name, u.avatar_url
           from checkouts c join plans p on p.id = c.plan_id join users u on u.id = c.streamer_id left join subscriptions s on s.checkout_id = c.id
           where c.id = $1 and c.user_id = $2"#,
        id,
        user
    );
    let found = found.fetch_optional(&billing.database).await?.ok_or(Error::NotFound("this checkout"))?;
    Ok(CheckoutView {
        id: found.id,
        url: found.url.filter(|_| found.status == "open"),
        status: found.status,
        streamer_id: found.streamer_id,
        streamer: Streamer {
            id: found.streamer_id,
            username: found.username,
            display_name: found.display_name,
            avatar: found.avatar_url,
        },
        tier: found.tier,
        payment_method: PaymentMethod::Card,
        subscription_id: found.subscription_id,
        expires_at: found.expires_at,
    })
}

/// Somebody's name at Stripe, which is asked to make one where there is none yet, or where it does not know that one any more (`anew`).
async fn customer(billing: &Billing, selling: &Selling, user: Uuid, anew: bool) -> Result<String, Error> {
    let database = &billing.database;
    let known = sqlx::query_scalar!(
        "select customer_id from billing_customers where user_id = $1 and provider = 'stripe'",
        user
    );
    if let Some(customer) = known.fetch_optional(database).await?.filter(|_| !anew) {
        return Ok(customer);
    }
    let email =
        sqlx::query_scalar!("select email from users where id = $1", user).fetch_one(database).await?;
    let made = selling.stripe.make(&Request::create_customer(user, &email, anew)).await?;
    sqlx::query!(
        r#"insert into billing_customers (user_id, provider, customer_id) values ($1, 'stripe', $2)
           on conflict (user_id, provider) do update set customer_id = excluded.customer_id"#,
        user,
        made.id
    )
    .execute(database)
    .await?;
    Ok(made.id)
}

/// Stripe's pages are open for half an hour at least; a minute more, because its clock may be ahead of ours.
const TO_PAY: TimeDelta = TimeDelta::minutes(31);
/// For somebody else's request to open the same page.
const TO_OPEN: TimeDelta = TimeDelta::seconds(30);
/// An open page that is about to close is of no use to somebody who has not seen it yet.
const TO_DECIDE: TimeDelta = TimeDelta::minutes(5);
