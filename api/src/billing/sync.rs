//! Looking at what has changed at a provider.
//!
//! Between the question and the answer no transaction is open and no connection held. What keeps an old answer from being written over a newer one
//! is a fence: each look has a number, and only the latest one writes.

use std::time::Duration;

use caudal_billing::stripe::{About, CheckoutSession, Kind, Reference, Request, SessionStatus};
use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, sleep, timeout};

use super::again;
use super::record;
use super::stripe::ProviderError;
use crate::app::{Billing, Selling};
use crate::error::Error;
use crate::outbox::{self, Attempt, Job, Outcome};

/// An object of a provider's that may have changed.
#[derive(Clone, Debug)]
pub(super) struct Known {
    kind: Kind,
    id: String,
}

impl Known {
    pub(super) fn of(about: &About) -> Self {
        Self { kind: about.kind, id: about.id.clone() }
    }

    pub(super) fn checkout(session: &str) -> Self {
        Self { kind: Kind::Checkout, id: session.to_owned() }
    }

    pub(super) fn subscription(id: &str) -> Self {
        Self { kind: Kind::Subscription, id: id.to_owned() }
    }
}

/// Has an object looked at once this is committed. However often that is said meanwhile, it is looked at once more.
pub(super) async fn want(db: &mut PgConnection, known: &Known) -> Result<(), Error> {
    sqlx::query!(
        r#"insert into billing_syncs (provider, kind, object_id) values ('stripe', $1, $2)
           on conflict (provider, object_id) do update set wanted = billing_syncs.wanted + 1, changed_at = now()"#,
        known.kind.as_str(),
        known.id
    )
    .execute(&mut *db)
    .await?;
    outbox::put(db, &Job::SyncBilling { kind: known.kind.as_str().to_owned(), object: known.id.clone() })
        .await
}

/// The same in a transaction of its own.
pub(super) async fn want_now(billing: &Billing, known: &Known) -> Result<(), Error> {
    let mut tx = billing.database.begin().await?;
    want(&mut tx, known).await?;
    Ok(tx.commit().await?)
}

/// A look that nobody has overtaken yet.
struct Look {
    wanted: i32,
    claim: i32,
}

/// Job: looks at an object, if nobody has since it changed.
pub(crate) async fn sync(
    billing: &Billing,
    kind: &str,
    object: &str,
    attempt: Attempt,
) -> Result<Outcome, Error> {
    let Ok(selling) = billing.selling() else { return Ok(Outcome::Done) };
    let Some(kind) = Kind::of_column(kind) else { return Ok(Outcome::Done) };
    let known = Known { kind, id: object.to_owned() };
    let Some(look) = claim(&billing.database, &known).await? else {
        let behind = is_behind(&billing.database, &known).await?;
        let taken = || again(attempt, "somebody else looks at it".to_owned());
        return Ok(if behind { taken() } else { Outcome::Done });
    };
    let Err(failure) = look_at(billing, selling, &known, &look).await else { return Ok(Outcome::Done) };
    give_back(&billing.database, &known, &look).await?;
    match failure {
        Failure::Provider(ProviderError::Away(reason)) => Ok(again(attempt, reason)),
        Failure::Provider(error) => Err(Error::Internal(error.to_string())),
        Failure::Other(error) => Err(error),
    }
}

/// Has it looked at, and waits until it has been, by whomever.
pub(super) async fn look_now(billing: &Billing, selling: &Selling, known: &Known) -> Result<(), Error> {
    want_now(billing, known).await?;
    look_until_seen(billing, selling, known).await?;
    if known.kind == Kind::Checkout {
        let subscription = sqlx::query_scalar!(
            r#"select provider_subscription_id as "id!" from checkouts
               where provider = 'stripe' and session_id = $1 and provider_subscription_id is not null"#,
            known.id
        );
        if let Some(id) = subscription.fetch_optional(&billing.database).await? {
            look_until_seen(billing, selling, &Known::subscription(&id)).await?;
        }
    }
    Ok(())
}

async fn look_until_seen(billing: &Billing, selling: &Selling, known: &Known) -> Result<(), Error> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match claim(&billing.database, known).await? {
            Some(look) => {
                if let Err(failure) = look_at(billing, selling, known, &look).await {
                    give_back(&billing.database, known, &look).await?;
                    return Err(match failure {
                        Failure::Provider(error) => error.into(),
                        Failure::Other(error) => error,
                    });
                }
            }
            // The job that was put with the wish, at this replica or another.
            None if is_behind(&billing.database, known).await? => sleep(OTHERS).await,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Why a look came to nothing.
enum Failure {
    Provider(ProviderError),
    Other(Error),
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Within its time, so that whoever gives up gives the lease back.
async fn look_at(billing: &Billing, selling: &Selling, known: &Known, look: &Look) -> Result<(), Failure> {
    let looked = timeout(LOOK_WITHIN, look_at_length(billing, selling, known, look));
    let too_long =
        || ProviderError::Away(format!("its answers took longer than {} s", LOOK_WITHIN.as_secs()));
    looked.await.unwrap_or_else(|_| Err(too_long().into()))
}

async fn look_at_length(
    billing: &Billing,
    selling: &Selling,
    known: &Known,
    look: &Look,
) -> Result<(), Failure> {
    match known.kind {
        Kind::Subscription => match selling.stripe.fetch(&known.id).await {
            Ok((fetched, asked_at)) => {
                let mut tx = billing.database.begin().await?;
                if settle(&mut tx, known, look).await? {
                    record::write(&mut tx, selling, &known.id, &fetched, asked_at).await?;
                }
                Ok(tx.commit().await?)
            }
            Err(ProviderError::Unknown) => Ok(note_unknown(&billing.database, known, look).await?),
            Err(error) => Err(error.into()),
        },
        Kind::Checkout => {
            let session: CheckoutSession = match selling.stripe.ask(&Request::checkout(&known.id)).await {
                Err(ProviderError::Unknown) => {
                    return Ok(settle(&mut *billing.database.acquire().await?, known, look)
                        .await
                        .map(drop)?);
                }
                session => session?,
            };
            let mut tx = billing.database.begin().await?;
            if !settle(&mut tx, known, look).await? {
                return Ok(());
            }
            let subscription = session.subscription.as_ref().map(Reference::id);
            let over = session.status == SessionStatus::Expired;
            // Before the checkout, because what writes a subscription takes them in this order too.
            if let Some(subscription) = subscription {
                want(&mut tx, &Known::subscription(subscription)).await?;
            }
            sqlx::query!(
                r#"update checkouts set provider_subscription_id = coalesce($2, provider_subscription_id),
                       status = case when $3 and status = 'open' then 'expired' else status end
                   where provider = 'stripe' and session_id = $1"#,
                known.id,
                subscription,
                over
            )
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        }
        Kind::Invoice | Kind::Charge | Kind::Refund | Kind::Dispute => {
            let about = About { kind: known.kind, id: known.id.clone() };
            let subscription = match selling.stripe.subscription_of(&about).await {
                Err(ProviderError::Unknown) => None,
                subscription => subscription?,
            };
            let mut tx = billing.database.begin().await?;
            if settle(&mut tx, known, look).await?
                && let Some(subscription) = subscription
            {
                want(&mut tx, &Known::subscription(&subscription)).await?;
            }
            Ok(tx.commit().await?)
        }
    }
}

/// An id of another account, or of another mode: the operator has changed the key. What was paid for lasts, and nothing is asked again and again.
async fn note_unknown(database: &PgPool, known: &Known, look: &Look) -> Result<(), sqlx::Error> {
    let mut tx = database.begin().await?;
    if settle(&mut tx, known, look).await? {
        sqlx::query!(
            r#"update subscriptions
               set synced_at = now(),
                   status = case when greatest(expires_at, grace_until) < now() then 'expired' when status = 'active' then 'cancelled' else status end
               where provider = 'stripe' and provider_subscription_id = $1 and status <> 'expired'"#,
            known.id
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

/// Takes up what has changed and is looked at by nobody.
async fn claim(database: &PgPool, known: &Known) -> Result<Option<Look>, sqlx::Error> {
    sqlx::query_as!(
        Look,
        r#"update billing_syncs set claim = claim + 1, leased_until = now() + make_interval(secs => $2)
           where provider = 'stripe' and object_id = $1 and wanted > done and (leased_until is null or leased_until < now())
           returning wanted, claim"#,
        known.id,
        LEASE.as_secs_f64()
    )
    .fetch_optional(database)
    .await
}

/// Whether it has changed since it was looked at.
async fn is_behind(database: &PgPool, known: &Known) -> Result<bool, sqlx::Error> {
    let behind = sqlx::query_scalar!(
        r#"select wanted > done as "behind!" from billing_syncs where provider = 'stripe' and object_id = $1"#,
        known.id
    );
    Ok(behind.fetch_optional(database).await?.unwrap_or(false))
}

/// Notes in a transaction that all that was wanted is in it. False where another look has begun meanwhile: then nothing of this one counts.
async fn settle(db: &mut PgConnection, known: &Known, look: &Look) -> Result<bool, sqlx::Error> {
    let settled = sqlx::query!(
        r#"update billing_syncs set done = $2, leased_until = null
           where provider = 'stripe' and object_id = $1 and claim = $3"#,
        known.id,
        look.wanted,
        look.claim
    );
    Ok(settled.execute(db).await?.rows_affected() > 0)
}

/// Lets others look.
async fn give_back(database: &PgPool, known: &Known, look: &Look) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update billing_syncs set leased_until = null where provider = 'stripe' and object_id = $1 and claim = $2",
        known.id,
        look.claim
    )
    .execute(database)
    .await?;
    Ok(())
}

/// For all questions about an object together: less than a request's 15 s and a job's 30 s.
const LOOK_WITHIN: Duration = Duration::from_secs(12);
/// Until others may look although nobody gave the lease back: a process has died.
const LEASE: Duration = Duration::from_secs(20);
/// For somebody who waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two looks at what somebody else is at.
const OTHERS: Duration = Duration::from_millis(30);
