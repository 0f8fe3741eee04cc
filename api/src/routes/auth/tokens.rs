//! What whoever logs in, registers or refreshes gets.

use axum::http::{HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::account::Account;
use crate::app::Accounts;
use crate::auth::{Issued, refresh_cookie};
use crate::error::Error;

/// Both tokens and whose they are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    /// A JWT for `Authorization: Bearer`.
    access_token: String,
    /// Good for one use: `POST /api/auth/refresh` changes it for new tokens.
    refresh_token: String,
    /// Of the access token, in seconds.
    expires_in: u64,
    #[schema(value_type = String, example = "Bearer")]
    token_type: &'static str,
    user: Account,
    #[serde(skip)]
    cookie: Option<HeaderValue>,
}

impl Tokens {
    pub(crate) fn new(accounts: &Accounts, issued: &Issued, user: Account) -> Result<Self, Error> {
        let (access_token, expires_in) = accounts.access_tokens.issue(issued)?;
        Ok(Self {
            access_token,
            refresh_token: issued.token.reveal(),
            expires_in,
            token_type: "Bearer",
            user,
            cookie: refresh_cookie(issued, &accounts.urls),
        })
    }
}

impl IntoResponse for Tokens {
    fn into_response(self) -> Response {
        let cookie = self.cookie.clone().map(|cookie| (header::SET_COOKIE, cookie));
        ([(header::CACHE_CONTROL, "no-store")], AppendHeaders(cookie), axum::Json(&self)).into_response()
    }
}
