//! `POST /api/auth/refresh`

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use garde::Validate;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Tokens;
use crate::account::Account;
use crate::app::Accounts;
use crate::auth::{AuthError, RefreshToken, end_session, forget_cookie, refresh_from_cookie};
use crate::client::Client;
use crate::departures::Departure;
use crate::error::Error;
use crate::json::CheckedOrDefault;
use crate::limits::Target;

#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Presented {
    /// Without it the cookie is looked at.
    #[garde(skip)]
    #[schema(value_type = Option<String>, format = Password)]
    refresh_token: Option<SecretString>,
}

impl Presented {
    /// The token of the body, else of the cookie.
    pub(crate) fn token(&self, headers: &HeaderMap) -> Result<Option<RefreshToken>, AuthError> {
        match &self.refresh_token {
            Some(token) => RefreshToken::parse(token.expose_secret()).map(Some),
            None => Ok(refresh_from_cookie(headers)),
        }
    }
}

/// Changes a refresh token for new tokens.
#[utoipa::path(
    post, path = "/api/auth/refresh", security(()),
    request_body = Option<Presented>,
    responses(
        (status = 200, body = Tokens, headers(("Set-Cookie"))),
        (status = 401, description = "refresh_invalid, refresh_reused", headers(("Set-Cookie"))),
        (status = 403, description = "banned", headers(("Set-Cookie"))),
    ),
)]
pub(crate) async fn refresh(
    State(accounts): State<Arc<Accounts>>,
    client: Client,
    headers: HeaderMap,
    CheckedOrDefault(presented): CheckedOrDefault<Presented>,
) -> Response {
    match exchange(&accounts, &client, &headers, &presented).await {
        Ok(tokens) => tokens.into_response(),
        // A browser would send a dead token for ever: only what may be repeated keeps its cookie.
        Err(
            error @ Error::Auth(AuthError::RefreshInvalid | AuthError::RefreshReused | AuthError::Banned),
        ) => {
            let cookie = forget_cookie(&accounts.urls).map(|cookie| (header::SET_COOKIE, cookie));
            (AppendHeaders(cookie), error).into_response()
        }
        Err(error) => error.into_response(),
    }
}

async fn exchange(
    accounts: &Accounts,
    client: &Client,
    headers: &HeaderMap,
    presented: &Presented,
) -> Result<Tokens, Error> {
    let ours = match presented.token(headers) {
        Ok(Some(token)) => accounts.sessions.recognise(&accounts.database, &token).await?,
        Ok(None) | Err(_) => None,
    };
    let Some(ours) = ours else {
        // Only inventions are attempts: nobody guesses a seal, and a browser that opens again with twenty tabs refreshes
        // twenty times at once.
        client.limit_attempts(Target::Act("refresh")).await?;
        return Err(AuthError::RefreshInvalid.into());
    };
    let issued = match accounts.sessions.exchange(&accounts.database, ours, client).await {
        // The exchange has ended it; whoever copied the token may be talking by it.
        Err(error @ Error::Auth(AuthError::RefreshReused)) => {
            accounts.departures.announce(Departure::SessionEnded { session: ours.session }).await;
            return Err(error);
        }
        issued => issued?,
    };
    match Account::find(&accounts.database, issued.user).await? {
        Some(account) if !account.banned => Tokens::new(accounts, &issued, account),
        _ => {
            end_session(&accounts.database, issued.session).await?;
            Err(AuthError::Banned.into())
        }
    }
}
