//! The password, asked for again before something that whoever finds an open browser must not do.

use secrecy::SecretString;
use sqlx::PgExecutor;

use super::{AuthError, Caller};
use crate::app::Accounts;
use crate::client::Client;
use crate::error::Error;

/// A caller who knows their password.
pub(crate) struct Confirmed {
    caller: Caller,
    /// As it was when it was compared.
    password_hash: String,
}

impl Confirmed {
    /// [`AuthError::WrongPassword`] when it is another one. Each try is counted.
    pub(crate) async fn by(
        accounts: &Accounts,
        caller: Caller,
        client: &Client,
        password: SecretString,
    ) -> Result<Self, Error> {
        client.limit_confirmations(caller.user).await?;
        let stored = sqlx::query_scalar!(
            "select password_hash from users where id = $1 and deleted_at is null",
            caller.user
        )
        .fetch_optional(&accounts.database)
        .await?
        .ok_or(AuthError::SessionRevoked)?;
        if !accounts.passwords.verify(password, Some(stored.clone())).await? {
            return Err(AuthError::WrongPassword.into());
        }
        Ok(Self { caller, password_hash: stored })
    }

    /// Changes the password, unless it was changed meanwhile: then the confirmed one is wrong by now.
    pub(crate) async fn change_password(
        &self,
        db: impl PgExecutor<'_>,
        password_hash: &str,
    ) -> Result<(), Error> {
        let changed = sqlx::query!(
            r#"update users set password_hash = $3, updated_at = now()
               where id = $1 and password_hash = $2 and deleted_at is null"#,
            self.caller.user,
            self.password_hash,
            password_hash
        );
        if changed.execute(db).await?.rows_affected() > 0 {
            Ok(())
        } else {
            Err(AuthError::WrongPassword.into())
        }
    }

    /// Whether it is still the password of the account, which is to be locked.
    pub(crate) async fn still_holds(&self, db: impl PgExecutor<'_>) -> Result<(), Error> {
        let holds = sqlx::query_scalar!(
            "select id from users where id = $1 and password_hash = $2 and deleted_at is null",
            self.caller.user,
            self.password_hash
        );
        holds.fetch_optional(db).await?.map(drop).ok_or_else(|| AuthError::WrongPassword.into())
    }
}
