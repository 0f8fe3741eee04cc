//! `DELETE /api/users/me`

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::administration::lock_who_stays;
use crate::app::{Accounts, Chat, Streams};
use crate::auth::{AuthError, Caller, Confirmed, forget_cookie};
use crate::client::Client;
use crate::deletion;
use crate::departures::Departure;
use crate::error::Error;
use crate::json::Checked;
use crate::stream::{End, Owner, order_end};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Farewell {
    #[garde(skip)]
    #[schema(value_type = String, format = Password, example = "correct horse battery")]
    password: SecretString,
}

/// Deletes the caller's account for good; the last admin's stays until somebody else is one.
#[utoipa::path(
    delete, path = "/api/users/me", security(("user" = [])),
    request_body = Farewell,
    responses(
        (status = 204, headers(("Set-Cookie"))),
        (status = 403, description = "wrong_password"),
        (status = 409, description = "last_admin"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn delete(
    State(accounts): State<Arc<Accounts>>,
    State(streams): State<Arc<Streams>>,
    State(chat): State<Arc<Chat>>,
    caller: Caller,
    client: Client,
    Checked(Farewell { password }): Checked<Farewell>,
) -> Result<Response, Error> {
    let confirmed = Confirmed::by(&accounts, caller, &client, password).await?;
    let (_, nobodys_key) = accounts.stream_keys.mint(caller.user)?;
    let mut tx = accounts.database.begin().await?;
    lock_who_stays(&mut tx, caller.user).await?;
    let owner = Owner::lock(&mut tx, caller.user).await?.ok_or(AuthError::SessionRevoked)?;
    confirmed.still_holds(&mut *tx).await?;
    let broadcast = deletion::anonymise(&mut tx, owner, &nobodys_key).await?;
    tx.commit().await?;
    accounts.departures.announce(Departure::LogInsEnded { user: caller.user, but: None }).await;
    tracing::info!(target: "caudal_api::audit", user = %caller.user, session = %caller.session, address = %client.address,
        "an account was deleted by its owner");
    // Both are done again in the background as often as it takes, and the account is gone whatever becomes of them.
    if let Some(stream) = broadcast
        && let Err(error) = order_end(&streams, stream, End::Banned).await
    {
        tracing::warn!(%stream, %error, "the end of a deleted account's broadcast could not be ordered yet");
    }
    if let Err(error) = deletion::erase(&chat, caller.user).await {
        tracing::warn!(user = %caller.user, %error, "what a deleted account leaves could not be erased yet");
    }
    let cookie = forget_cookie(&accounts.urls).map(|cookie| (header::SET_COOKIE, cookie));
    Ok((StatusCode::NO_CONTENT, AppendHeaders(cookie)).into_response())
}
