//! `POST /api/auth/email/verify` and `POST /api/auth/email/verification`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;

use crate::app::Accounts;
use crate::auth::one_time_token::is_token;
use crate::auth::{AuthError, Caller, email_verification};
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::limits::Target;
use crate::mail::Wish;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Verification {
    /// Of the link.
    #[garde(custom(is_token))]
    token: SecretString,
}

/// Takes an address as its owner's. Whoever opens the link may be logged out, or use another browser.
pub(crate) async fn verify_email(
    State(accounts): State<Arc<Accounts>>,
    client: Client,
    Checked(Verification { token }): Checked<Verification>,
) -> Result<StatusCode, Error> {
    client.limit_attempts(Target::Act("verify")).await?;
    let mut connection = accounts.database.acquire().await?;
    let user = email_verification::redeem(&mut connection, &token).await?;
    tracing::info!(target: "caudal_api::audit", %user, address = %client.address, "an email address was verified");
    Ok(StatusCode::NO_CONTENT)
}

/// Sends the link again. Nothing is sent to an address that is verified, nor a fourth one within an hour.
pub(crate) async fn send_verification(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    client: Client,
) -> Result<StatusCode, Error> {
    client.limit_attempts(Target::Act("verification")).await?;
    if !accounts.post.sends() {
        return Err(AuthError::NoMail.into());
    }
    accounts.post.ask(Wish::Verify(caller.user))?;
    Ok(StatusCode::NO_CONTENT)
}
