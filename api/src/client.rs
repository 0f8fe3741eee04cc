//! Who asks, and how often that one may.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use sqlx::PgPool;
use uuid::Uuid;

use crate::address::{self, Origin};
use crate::app::Entrance;
use crate::auth::was_here;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::limits::{Bucket, Class, Target};
use crate::names::NormalName;

/// The other side of a request.
#[derive(Clone)]
pub(crate) struct Client {
    /// Its address.
    pub(crate) address: IpAddr,
    /// What it calls itself, cut to what the database keeps.
    pub(crate) user_agent: Option<String>,
    exchange: Exchange,
    entrance: Arc<Entrance>,
}

impl Client {
    /// Counts an attempt from this address; refuses it when there were too many.
    pub(crate) async fn limit_attempts(&self, target: Target<'_>) -> Result<(), Error> {
        let bucket = Bucket::attempts(Origin::from(self.address), target);
        self.exchange.count(&self.entrance, Class::Attempts, &bucket).await
    }

    /// Counts an attempt at a password: at this account from here, at all accounts from here, and at this account from
    /// wherever its owner was not lately. So a thousand addresses guess hardly faster than ten, and cannot lock the owner
    /// out where the owner usually is.
    pub(crate) async fn limit_passwords(&self, database: &PgPool, target: Target<'_>) -> Result<(), Error> {
        let origin = Origin::from(self.address);
        self.limit_attempts(target).await?;
        self.exchange
            .count(&self.entrance, Class::AttemptsFromAddress, &Bucket::attempts_from(origin))
            .await?;
        if let Target::User(user) = target
            && was_here(database, user, origin).await?
        {
            return Ok(());
        }
        let strangers = Bucket::attempts_by_strangers(target);
        self.exchange.count(&self.entrance, Class::AttemptsByStrangers, &strangers).await
    }

    /// Counts a mail to an address, whoever's it is: from here, and from everywhere.
    pub(crate) async fn limit_mails(&self, to: &NormalName) -> Result<(), Error> {
        let mailbox = Target::Mailbox(to);
        self.limit_attempts(mailbox).await?;
        let everywhere = Bucket::attempts_by_strangers(mailbox);
        self.exchange.count(&self.entrance, Class::AttemptsByStrangers, &everywhere).await
    }

    /// Counts an attempt at the password of a person whose access token came along. No stranger can use these up, so they
    /// are counted over all addresses.
    pub(crate) async fn limit_confirmations(&self, user: Uuid) -> Result<(), Error> {
        self.exchange.count(&self.entrance, Class::Attempts, &Bucket::confirmations(user)).await?;
        self.limit_attempts(Target::User(user)).await
    }
}

impl<S> FromRequestParts<S> for Client
where
    S: Send + Sync,
    Arc<Entrance>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let entrance = Arc::<Entrance>::from_ref(state);
        let address = address::visitor(&entrance.trusted_proxies, parts)
            .ok_or_else(|| Error::Internal("a request without a peer".into()))?;
        let exchange = Exchange::of(parts)?;
        let user_agent =
            parts.headers.get(axum::http::header::USER_AGENT).and_then(|value| value.to_str().ok());
        let user_agent = user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect());
        Ok(Self { address, user_agent, exchange, entrance })
    }
}

/// `sessions.user_agent`.
const MAX_USER_AGENT: usize = 256;
