//! `POST /api/auth/register`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Tokens;
use crate::account::Account;
use crate::app::Accounts;
use crate::auth::is_password;
use crate::client::Client;
use crate::error::Error;
use crate::input::{FieldError, InputError};
use crate::json::Checked;
use crate::limits::Target;
use crate::mail::Wish;
use crate::names::NormalName;
use crate::registration::{self, InvitationToken, RegistrationError, RegistrationMode};
use crate::username::{Skeleton, is_reserved};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Registration {
    /// Shown everywhere, and part of addresses.
    #[garde(custom(is_username))]
    #[schema(pattern = "^[A-Za-z0-9_]{3,25}$", example = "ana")]
    username: String,
    #[garde(email, length(bytes, max = 254), custom(can_be_mailed))]
    #[schema(format = "email", max_length = 254, example = "ana@example.org")]
    email: String,
    #[garde(custom(is_password))]
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128, example = "correct horse battery")]
    password: SecretString,
    /// Where registering takes one; it is not looked at where everybody may.
    #[garde(skip)]
    #[schema(value_type = Option<String>, example = "inv_0123456789abcdefghijABCDEFGHIJkl")]
    invitation: Option<InvitationToken>,
}

/// What mails could not be sent to would never be verified, and nobody could be sent a link to a new password.
fn can_be_mailed(email: &str, (): &()) -> garde::Result {
    // They go to the name that accounts are compared by.
    let can_be = |address: &str| address.parse::<lettre::Address>().is_ok();
    if can_be(email) && can_be(NormalName::of(email).as_str()) {
        return Ok(());
    }
    Err(garde::Error::new("not an address that mail can be sent to"))
}

/// Opens an account with a stream key of its own, and logs in.
#[utoipa::path(
    post, path = "/api/auth/register", security(()),
    request_body = Registration,
    responses(
        (status = 201, body = Tokens, headers(("Set-Cookie"))),
        (status = 403, description = "registration_closed, invitation_invalid"),
        (status = 409, description = "taken"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn register(
    State(accounts): State<Arc<Accounts>>,
    client: Client,
    Checked(registration): Checked<Registration>,
) -> Result<(StatusCode, Tokens), Error> {
    // By address alone: whoever registers has no account yet that could be counted.
    client.limit_attempts(Target::Act("register")).await?;
    let Registration { username, email, password, invitation } = registration;
    let mode = registration::in_force(&accounts.database, accounts.registration).await?;
    match mode {
        RegistrationMode::Open => {}
        RegistrationMode::Invitation => registration::check(&accounts.database, invitation.as_ref()).await?,
        RegistrationMode::Closed => return Err(RegistrationError::Closed.into()),
    }
    let password_hash = accounts.passwords.hash(password).await?;
    let user = Uuid::now_v7();
    let (_, sealed) = accounts.stream_keys.mint(user)?;
    let (username_normal, email_normal) = (NormalName::of(&username), NormalName::of(&email));
    let skeleton = Skeleton::of(&username);

    let mut tx = accounts.database.begin().await?;
    if mode == RegistrationMode::Invitation {
        registration::redeem(&mut tx, invitation.as_ref()).await?;
    }
    let registered = sqlx::query!(
        r#"insert into users
               (id, username, username_normal, username_skeleton, email, email_normal, password_hash, stream_key,
                stream_key_enc, stream_key_kid)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing"#,
        user,
        username,
        username_normal.as_str(),
        skeleton.as_str(),
        email,
        email_normal.as_str(),
        password_hash,
        sealed.hash,
        sealed.encrypted,
        sealed.kid
    )
    .execute(&mut *tx)
    .await?;
    if registered.rows_affected() == 0 {
        let found = sqlx::query!(
            r#"select exists (select from users where username_normal = $1) as "name!",
                      exists (select from users where username_skeleton = $2) as "skeleton!""#,
            username_normal.as_str(),
            skeleton.as_str()
        );
        let found = found.fetch_one(&mut *tx).await?;
        return Err(if found.name {
            taken("/username", "this name is taken")
        } else if found.skeleton {
            taken("/username", "this name looks like another one; choose one that nobody mistakes for it")
        } else {
            taken("/email", "there is an account with this address")
        });
    }
    // Asked behind the insert, which waits for whoever is deleting the account of that name.
    let former = sqlx::query_scalar!(
        r#"select true as "kept!" from former_names where skeleton_hash = $1 and free_at > now()"#,
        skeleton.hash()
    );
    if former.fetch_optional(&mut *tx).await?.is_some() {
        return Err(taken("/username", "this name is taken"));
    }
    let issued = accounts.sessions.begin(&mut tx, user, &client).await?;
    let account = Account::find(&mut *tx, user)
        .await?
        .ok_or_else(|| Error::Internal("a new account is gone".into()))?;
    tx.commit().await?;
    tracing::info!(%user, username, "registered");
    if accounts.post.sends() {
        // Where there is too much mail just now, it can be asked for later.
        let _ = accounts.post.ask(Wish::Verify(user));
    }
    Ok((StatusCode::CREATED, Tokens::new(&accounts, &issued, account)?))
}

fn taken(pointer: &str, detail: &str) -> Error {
    InputError::Taken(FieldError::new(pointer, "taken", detail)).into()
}

fn is_username(name: &str, _: &()) -> garde::Result {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain || !(3..=25).contains(&name.len()) {
        Err(garde::Error::new("3 to 25 letters, digits and underscores"))
    } else if is_reserved(name) {
        Err(garde::Error::new("this name is not for accounts; choose another one"))
    } else {
        Ok(())
    }
}
