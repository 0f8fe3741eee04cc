//! Refresh tokens: 256 bits that mean nothing, kept as hashes, changed at every use.
//!
//! One log-in is a *family*. A token that is used a second time was copied: its whole family is void. But a second use
//! is usually innocent – two tabs, or an answer that the network lost – so for ten seconds the immediate predecessor of
//! the newest token gets the same successor again. A successor is derived from its predecessor under our secret, so
//! nothing needs to be kept for that, and every replica gives the same one; the database alone yields no token.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::client::Client;
use crate::config::Deadlines;
use crate::error::Error;

/// A refresh token as its owner has it. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken([u8; 32]);

impl RefreshToken {
    fn random() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// As sent by a client.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(Error::RefreshInvalid)
    }

    /// As sent to a client.
    pub(crate) fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A token just given out.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: RefreshToken,
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Gives out, exchanges and revokes.
pub(crate) struct RefreshTokens {
    secret: SecretString,
    lifetime: TimeDelta,
    session: TimeDelta,
    grace: TimeDelta,
}

impl RefreshTokens {
    pub(crate) fn new(secret: &SecretString, deadlines: &Deadlines) -> Self {
        let delta = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        Self {
            secret: secret.clone(),
            lifetime: delta(deadlines.refresh_token),
            session: delta(deadlines.session),
            grace: delta(deadlines.refresh_grace),
        }
    }

    /// Begins a family: somebody logged in.
    pub(crate) async fn begin(
        &self,
        db: &mut PgConnection,
        user: Uuid,
        client: &Client,
    ) -> Result<Issued, Error> {
        let (now, token, session) = (Utc::now(), RefreshToken::random(), Uuid::now_v7());
        let family_ends = now + self.session;
        let row = Row { id: Uuid::now_v7(), user, session, parent: None, family_ends };
        let expires_at = self.insert(db, &row, &token, now, client).await?;
        Ok(Issued { token, user, session, expires_at })
    }

    /// Changes a token for its successor.
    ///
    /// `Err(RefreshReused)` when it was used before and the grace is over; the family is void then, which is committed.
    pub(crate) async fn exchange(
        &self,
        database: &PgPool,
        token: &RefreshToken,
        client: &Client,
    ) -> Result<Issued, Exchange> {
        let mut tx = database.begin().await.map_err(Error::from)?;
        // The lock makes two simultaneous uses one after the other; the second finds the first one's successor.
        let found = sqlx::query!(
            r#"select id, user_id, family_id, used_at, revoked_at, expires_at, family_expires_at
               from refresh_tokens where token_hash = $1 for update"#,
            token.hash()
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?
        .ok_or(Error::RefreshInvalid)?;

        let now = Utc::now();
        if found.revoked_at.is_some() || found.expires_at <= now || found.family_expires_at <= now {
            return Err(Error::RefreshInvalid.into());
        }
        let Some(used_at) = found.used_at else {
            sqlx::query!("update refresh_tokens set used_at = $2 where id = $1", found.id, now)
                .execute(&mut *tx)
                .await
                .map_err(Error::from)?;
            let row = Row {
                id: Uuid::now_v7(),
                user: found.user_id,
                session: found.family_id,
                parent: Some(found.id),
                family_ends: found.family_expires_at,
            };
            let successor = self.successor(token, row.id);
            let expires_at = self.insert(&mut tx, &row, &successor, now, client).await?;
            tx.commit().await.map_err(Error::from)?;
            return Ok(Issued { token: successor, user: row.user, session: row.session, expires_at });
        };

        // Only while the successor is unused itself: a wider grace lets a thief stay one step behind for ever.
        let child = sqlx::query!(
            r#"select id, token_hash, expires_at from refresh_tokens
               where parent_id = $1 and used_at is null and revoked_at is null"#,
            found.id
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?;
        if let Some(child) = child.filter(|_| now - used_at <= self.grace) {
            let successor = self.successor(token, child.id);
            // Another hash means another secret: the keys were changed in these ten seconds.
            if successor.hash() == child.token_hash {
                return Ok(Issued {
                    token: successor,
                    user: found.user_id,
                    session: found.family_id,
                    expires_at: child.expires_at,
                });
            }
        }
        revoke_family(&mut tx, found.family_id).await?;
        tx.commit().await.map_err(Error::from)?;
        tracing::warn!(user = %found.user_id, session = %found.family_id, "a refresh token was used twice; its session is ended");
        Err(Exchange::Reused { session: found.family_id })
    }

    /// Ends the family that a token belongs to, if it is one; says which.
    pub(crate) async fn revoke(
        &self,
        db: &mut PgConnection,
        token: &RefreshToken,
    ) -> Result<Option<Uuid>, Error> {
        let family =
            sqlx::query_scalar!("select family_id from refresh_tokens where token_hash = $1", token.hash())
                .fetch_optional(&mut *db)
                .await?;
        if let Some(family) = family {
            revoke_family(db, family).await?;
        }
        Ok(family)
    }

    fn successor(&self, token: &RefreshToken, id: Uuid) -> RefreshToken {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.expose_secret().as_bytes()) else {
            unreachable!()
        };
        mac.update(b"caudal refresh successor\n");
        mac.update(id.as_bytes());
        mac.update(&token.0);
        RefreshToken(mac.finalize().into_bytes().into())
    }

    async fn insert(
        &self,
        db: &mut PgConnection,
        row: &Row,
        token: &RefreshToken,
        now: DateTime<Utc>,
        client: &Client,
    ) -> Result<DateTime<Utc>, Error> {
        let expires_at = (now + self.lifetime).min(row.family_ends);
        sqlx::query!(
            r#"insert into refresh_tokens
                   (id, user_id, family_id, parent_id, token_hash, expires_at, family_expires_at, user_agent, ip)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
            row.id,
            row.user,
            row.session,
            row.parent,
            token.hash(),
            expires_at,
            row.family_ends,
            client.user_agent,
            printed(client.address),
        )
        .execute(db)
        .await?;
        Ok(expires_at)
    }
}

struct Row {
    id: Uuid,
    user: Uuid,
    session: Uuid,
    parent: Option<Uuid>,
    family_ends: DateTime<Utc>,
}

/// Why a token was not exchanged.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// It was used before: its access tokens must go too.
    Reused {
        /// The log-in.
        session: Uuid,
    },
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Exchange {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// No token of this log-in is good for anything any more.
pub(crate) async fn revoke_family(db: &mut PgConnection, family: Uuid) -> Result<(), Error> {
    sqlx::query!(
        "update refresh_tokens set revoked_at = now() where family_id = $1 and revoked_at is null",
        family
    )
    .execute(db)
    .await?;
    Ok(())
}

fn printed(address: IpAddr) -> String {
    address.to_string()
}
