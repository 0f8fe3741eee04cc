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

    /// Counts an attempt at a password: at this name from here, at all names from here, and at this name from wherever its
    /// owner was not lately. So a thousand addresses guess hardly faster than ten at each name, and cannot lock the owner out where the
    /// owner usually is. By the name that was typed: one counter for an account's username and address would tell a stranger
    /// which address belongs to whom.
    pub(crate) async fn limit_passwords(
        &self,
        database: &PgPool,
        name: &NormalName,
        owner: Option<Uuid>,
    ) -> Result<(), Error> {
        let (origin, target) = (Origin::from(self.address), Target::Name(name));
        self.limit_attempts(target).await?;
        self.exchange
            .count(&self.entrance, Class::AttemptsFromAddress, &Bucket::attempts_from(origin))
            .await?;
        if let Some(user) = owner
            && was_here(database, user, origin).await?
        {
            return Ok(());
        }
        let strangers = Bucket::attempts_by_strangers(target);
        self.exchange.count(&self.entrance, Class::AttemptsByStrangers, &strangers).await
    }

    /// Counts a mail to an address, whoever's it is, from here. What all addresses together ask for is bounded by how many links
    /// a person may have open: a counter of everybody's could be emptied by one stranger, and keep the owner out.
    pub(crate) async fn limit_mails(&self, to: &NormalName) -> Result<(), Error> {
        self.limit_attempts(Target::Mailbox(to)).await
    }

    /// Counts an attempt at the password of a person whose access token came along. No stranger can use these up, so they
    /// are counted over all addresses.
    pub(crate) async fn limit_confirmations(&self, user: Uuid) -> Result<(), Error> {
        self.exchange.count(&self.entrance, Class::Attempts, &Bucket::confirmations(user)).await
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
