//! `POST /api/auth/password`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;

use crate::app::Accounts;
use crate::auth::{Caller, Confirmed, end_sessions, is_password, password_reset};
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Change {
    #[garde(skip)]
    password: SecretString,
    #[garde(custom(is_password))]
    new_password: SecretString,
}

/// A new password for the old one. All other sessions end: one of them may be the reason.
pub(crate) async fn change_password(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    client: Client,
    Checked(Change { password, new_password }): Checked<Change>,
) -> Result<StatusCode, Error> {
    let confirmed = Confirmed::by(&accounts, caller, &client, password).await?;
    let password_hash = accounts.passwords.hash(new_password).await?;
    let mut tx = accounts.database.begin().await?;
    confirmed.change_password(&mut *tx, &password_hash).await?;
    end_sessions(&mut *tx, caller.user, Some(caller.session)).await?;
    password_reset::forget_of(&mut *tx, caller.user).await?;
    tx.commit().await?;
    tracing::info!(target: "caudal_api::audit", user = %caller.user, session = %caller.session, address = %client.address,
        "a password was changed");
    Ok(StatusCode::NO_CONTENT)
}
