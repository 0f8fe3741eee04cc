//! `POST /api/auth/password/reset`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;

use crate::app::Accounts;
use crate::auth::one_time_token::is_token;
use crate::auth::{end_sessions, is_password, password_reset};
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::limits::Target;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Reset {
    /// Of the link.
    #[garde(custom(is_token))]
    token: SecretString,
    #[garde(custom(is_password))]
    new_password: SecretString,
}

/// A new password for whoever has a link. All sessions end.
pub(crate) async fn reset_password(
    State(accounts): State<Arc<Accounts>>,
    client: Client,
    Checked(Reset { token, new_password }): Checked<Reset>,
) -> Result<StatusCode, Error> {
    client.limit_attempts(Target::Act("reset")).await?;
    // Asked first, so that nobody has passwords hashed for made-up tokens.
    let user = password_reset::person(&accounts.database, &token).await?;
    let password_hash = accounts.passwords.hash(new_password).await?;
    let mut tx = accounts.database.begin().await?;
    // The account before everything that hangs on it, as wherever both are locked.
    let changed = sqlx::query!(
        "update users set password_hash = $2, updated_at = now() where id = $1 and deleted_at is null",
        user,
        password_hash
    );
    if changed.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(password_reset::no_good());
    }
    password_reset::redeem(&mut tx, user, &token).await?;
    end_sessions(&mut *tx, user, None).await?;
    tx.commit().await?;
    tracing::info!(target: "caudal_api::audit", %user, address = %client.address, "a password was reset by a link");
    Ok(StatusCode::NO_CONTENT)
}
