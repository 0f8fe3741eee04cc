//! Who asks: the address that limits and logs count, as far as it is known to be real.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
pub use caudal_service::forwarded::{InvalidRange, TrustedProxies};
pub(crate) use caudal_service::origin::Origin;
use uuid::Uuid;

use crate::app::App;
use crate::auth::was_here;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::limits::{Bucket, Class, Target};

/// The other side of a request.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its address.
    pub(crate) address: IpAddr,
    /// What it calls itself, cut to what the database keeps.
    pub(crate) user_agent: Option<String>,
    exchange: Exchange,
}

impl Client {
    /// The address that limits count for a request.
    pub(crate) fn origin(app: &App, parts: &Parts) -> Option<IpAddr> {
        Some(app.trusted_proxies.real(Self::peer(parts)?, &parts.headers).to_canonical())
    }

    /// The address at the other end of the connection: a visitor's, or a proxy's.
    pub(crate) fn peer(parts: &Parts) -> Option<IpAddr> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(peer.ip().to_canonical())
    }

    /// Counts an attempt from this address; refuses it when there were too many.
    pub(crate) async fn limit_attempts(&self, app: &App, target: Target<'_>) -> Result<(), Error> {
        let bucket = Bucket::attempts(Origin::from(self.address), target);
        self.exchange.count(app, Class::Attempts, &bucket).await
    }

    /// Counts an attempt at a password: at this account from here, at all accounts from here, and at this account from
    /// wherever its owner was not lately. So a thousand addresses guess hardly faster than ten, and cannot lock the owner
    /// out where the owner usually is.
    pub(crate) async fn limit_passwords(&self, app: &App, target: Target<'_>) -> Result<(), Error> {
        let origin = Origin::from(self.address);
        self.limit_attempts(app, target).await?;
        self.exchange.count(app, Class::AttemptsFromAddress, &Bucket::attempts_from(origin)).await?;
        if let Target::User(user) = target
            && was_here(&app.database, user, origin).await?
        {
            return Ok(());
        }
        let strangers = Bucket::attempts_by_strangers(target);
        self.exchange.count(app, Class::AttemptsByStrangers, &strangers).await
    }

    /// Counts an attempt at the password of a person whose access token came along. No stranger can use these up, so they
    /// are counted over all addresses.
    pub(crate) async fn limit_confirmations(&self, app: &App, user: Uuid) -> Result<(), Error> {
        self.exchange.count(app, Class::Attempts, &Bucket::confirmations(user)).await?;
        self.limit_attempts(app, Target::User(user)).await
    }
}

impl FromRequestParts<Arc<App>> for Client {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let address =
            Self::origin(app, parts).ok_or_else(|| Error::Internal("a request without a peer".into()))?;
        let exchange = Exchange::of(parts)?;
        let user_agent =
            parts.headers.get(axum::http::header::USER_AGENT).and_then(|value| value.to_str().ok());
        let user_agent = user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect());
        Ok(Self { address, user_agent, exchange })
    }
}

/// `sessions.user_agent`.
const MAX_USER_AGENT: usize = 256;
