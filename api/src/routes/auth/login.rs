//! `POST /api/auth/login`

use std::sync::Arc;

use axum::extract::State;
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;

use super::Tokens;
use crate::account::Account;
use crate::app::Accounts;
use crate::auth::AuthError;
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::limits::Target;
use crate::names::NormalName;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Credentials {
    /// A username or an email address.
    #[garde(length(bytes, min = 1, max = 254))]
    login: String,
    #[garde(skip)]
    password: SecretString,
}

/// Begins a session.
pub(crate) async fn login(
    State(accounts): State<Arc<Accounts>>,
    client: Client,
    Checked(Credentials { login, password }): Checked<Credentials>,
) -> Result<Tokens, Error> {
    let login = NormalName::of(&login);
    let found = sqlx::query!(
        r#"select id, password_hash from users
           where (username_normal = $1 or email_normal = $1) and deleted_at is null"#,
        login.as_str()
    )
    .fetch_optional(&accounts.database)
    .await?;
    // Name and address are one account, and have one limit.
    let target = found.as_ref().map_or(Target::Nobody(&login), |found| Target::User(found.id));
    client.limit_passwords(&accounts.database, target).await?;
    let (user, stored) = found.map_or((None, None), |found| (Some(found.id), Some(found.password_hash)));
    let right = accounts.passwords.verify(password, stored.clone()).await?;
    let Some(user) = user.filter(|_| right) else {
        tracing::info!(address = %client.address, "a log-in failed");
        return Err(AuthError::WrongCredentials.into());
    };
    let mut tx = accounts.database.begin().await?;
    // Whoever changes the password waits for this, and ends the new session too; or has changed it, and then it was wrong.
    sqlx::query_scalar!("select id from users where id = $1 and password_hash = $2 for share", user, stored)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(AuthError::WrongCredentials)?;
    let account = Account::find(&mut *tx, user).await?.ok_or(AuthError::WrongCredentials)?;
    if account.banned {
        return Err(AuthError::Banned.into());
    }
    let issued = accounts.sessions.begin(&mut tx, user, &client).await?;
    tx.commit().await?;
    tracing::info!(%user, session = %issued.session, "logged in");
    Tokens::new(&accounts, &issued, account)
}
