//! The person behind a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use uuid::Uuid;

use crate::app::App;
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

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let token = bearer(&parts.headers).ok_or(Error::Unauthenticated)?;
        let claims = app.access_tokens.verify(token)?;
        if app.denylist.denied(claims.session).await? {
            return Err(Error::SessionRevoked);
        }
        // A ban is set in the database alone, and holds from that moment.
        let welcome = sqlx::query_scalar!(
            r#"select exists (select from users where id = $1 and banned_at is null and deleted_at is null) as "welcome!""#,
            claims.user
        );
        if !welcome.fetch_one(&app.database).await? {
            return Err(Error::SessionRevoked);
        }
        Ok(Self { user: claims.user, session: claims.session })
    }
}

impl FromRequestParts<Arc<App>> for MaybeCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        match <Caller as FromRequestParts<Arc<App>>>::from_request_parts(parts, app).await {
            Ok(caller) => Ok(Self(Some(caller))),
            Err(error @ (Error::Database(_) | Error::Internal(_))) => Err(error),
            Err(_) => Ok(Self(None)),
        }
    }
}

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
