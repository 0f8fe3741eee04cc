//! The person behind a request.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::AuthError;
use super::access_token::Claims;
use super::refresh_token::Serial;
use crate::app::Accounts;
use crate::error::Error;

/// Somebody with a valid access token whose session was not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
}

/// Somebody, or nobody: an absent or unusable token is nobody here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaybeCaller(pub(crate) Option<Caller>);

/// Somebody who runs this server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admin(pub(crate) Caller);

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let accounts = Arc::<Accounts>::from_ref(state);
        let token = bearer(&parts.headers).ok_or(AuthError::Unauthenticated)?;
        Ok(Self::of_token(&accounts, token).await?.0)
    }
}

impl Caller {
    /// The person of an access token, and until when it is good.
    pub(crate) async fn of_token(accounts: &Accounts, token: &str) -> Result<(Self, DateTime<Utc>), Error> {
        let claims = accounts.access_tokens.verify(token)?;
        let caller = Self { user: claims.user, session: claims.session };
        let goes_on = caller.session(accounts).await?;
        if !goes_on.received && claims.serial == Some(goes_on.serial) {
            mark_received(accounts, &claims).await;
        }
        Ok((caller, claims.expires()))
    }

    /// Whether the session goes on, later.
    pub(crate) async fn check(&self, accounts: &Accounts) -> Result<(), Error> {
        self.session(accounts).await.map(drop)
    }

    /// Whether this is one of those who run the server.
    pub(crate) async fn is_admin(&self, accounts: &Accounts) -> Result<bool, Error> {
        let admin = sqlx::query_scalar!(
            r#"select role = 'admin' as "admin!" from users where id = $1 and deleted_at is null"#,
            self.user
        );
        Ok(admin.fetch_optional(&accounts.database).await?.unwrap_or(false))
    }

    async fn session(&self, accounts: &Accounts) -> Result<GoesOn, Error> {
        // PostgreSQL is asked each time. A list of ended sessions beside it, in memory or in Redis, would have to be told
        // of every end; one that restarts or was away would let ended sessions in again. A ban is set in the database alone,
        // and holds from that moment.
        let goes_on = sqlx::query_as!(
            GoesOn,
            r#"select serial as "serial: Serial", received from sessions s join users u on u.id = s.user_id
               where s.id = $1 and s.user_id = $2 and s.revoked_at is null
                 and u.banned_at is null and u.deleted_at is null"#,
            self.session,
            self.user
        );
        Ok(goes_on.fetch_optional(&accounts.database).await?.ok_or(AuthError::SessionRevoked)?)
    }
}

/// A session that was not ended.
struct GoesOn {
    serial: Serial,
    received: bool,
}

/// This access token came with the newest refresh token: its holder got that answer. See `Standing::judge`.
async fn mark_received(accounts: &Accounts, claims: &Claims) {
    let marked = sqlx::query!(
        "update sessions set received = true where id = $1 and serial = $2",
        claims.session,
        claims.serial.map(|serial| serial.0)
    );
    // What cannot be written must not stop what only reads; the next request tries again.
    if let Err(error) = marked.execute(&accounts.database).await {
        tracing::debug!(%error, "a session's answer could not be marked as received");
    }
}

impl<S> FromRequestParts<S> for MaybeCaller
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(caller) => Ok(Self(Some(caller))),
            Err(error @ (Error::Database(_) | Error::Internal(_))) => Err(error),
            Err(_) => Ok(Self(None)),
        }
    }
}

impl<S> FromRequestParts<S> for Admin
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.is_admin(&Arc::<Accounts>::from_ref(state)).await? {
            Ok(Self(caller))
        } else {
            Err(AuthError::NotAdmin.into())
        }
    }
}

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
