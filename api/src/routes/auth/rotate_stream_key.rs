//! `POST /api/auth/stream-key/rotate`

use std::sync::Arc;

use axum::extract::State;
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;

use super::stream_key::KeyView;
use crate::app::{Accounts, Streams};
use crate::auth::{AuthError, Caller, Confirmed};
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::stream::{End, Owner, order_end, request_end};

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Confirmation {
    /// Whoever finds an open browser must not lock the owner's encoder out.
    #[garde(skip)]
    password: SecretString,
}

/// A new key; the old one ends with the broadcast that it opened.
pub(crate) async fn rotate_stream_key(
    State(accounts): State<Arc<Accounts>>,
    State(streams): State<Arc<Streams>>,
    caller: Caller,
    client: Client,
    Checked(Confirmation { password }): Checked<Confirmation>,
) -> Result<KeyView, Error> {
    Confirmed::by(&accounts, caller, &client, password).await?;

    let (stream_key, sealed) = accounts.stream_keys.mint(caller.user)?;
    let mut tx = accounts.database.begin().await?;
    // The lock that `authorize` takes: a publisher with the old key is either seen below or refused.
    let owner = Owner::lock(&mut tx, caller.user).await?.ok_or(AuthError::SessionRevoked)?;
    let rotated_at = sqlx::query_scalar!(
        r#"update users
           set stream_key = $2, stream_key_enc = $3, stream_key_kid = $4, key_rotated_at = now(), updated_at = now()
           where id = $1 returning key_rotated_at"#,
        caller.user,
        sealed.hash,
        sealed.encrypted,
        sealed.kid
    )
    .fetch_one(&mut *tx)
    .await?;
    let publishing = sqlx::query_scalar!(
        "select id from streams where user_id = $1 and ended_at is null and authorized_at is not null",
        caller.user
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(stream) = publishing {
        request_end(&mut tx, owner, stream, End::KeyRotated).await?;
    }
    tx.commit().await?;
    tracing::info!(target: "caudal_api::audit", user = %caller.user, session = %caller.session, address = %client.address,
        "a stream key was rotated");
    if let Some(stream) = publishing {
        order_end(&streams, stream, End::KeyRotated).await?;
    }
    Ok(KeyView { stream_key, rtmp_url: accounts.urls.rtmp.clone(), rotated_at })
}
