//! `POST /api/auth/login`

use std::sync::Arc;

use axum::extract::State;
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Tokens;
use crate::account::Account;
use crate::app::Accounts;
use crate::auth::AuthError;
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::names::NormalName;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Credentials {
    /// A username or an email address.
    #[garde(length(bytes, min = 1, max = 254))]
    #[schema(min_length = 1, max_length = 254, example = "ana")]
    login: String,
    #[garde(skip)]
    #[schema(value_type = String, format = Password, example = "correct horse battery")]
    password: SecretString,
}

/// Begins a session.
#[utoipa::path(
    post, path = "/api/auth/login", security(()),
    request_body = Credentials,
    responses(
        (status = 200, body = Tokens, headers(("Set-Cookie"))),
        (status = 401, description = "wrong_credentials"),
        (status = 403, description = "banned"),
        (status = 503, description = "overloaded"),
    ),
)]
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
    client.limit_passwords(&accounts.database, &login, found.as_ref().map(|found| found.id)).await?;
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
