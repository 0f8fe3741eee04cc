//! `POST /api/auth/password/forgot`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use serde::Deserialize;

use crate::app::Accounts;
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::limits::Target;
use crate::mail::Wish;
use crate::names::NormalName;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Forgotten {
    #[garde(length(bytes, min = 1, max = 254))]
    email: String,
}

/// Has a link mailed to an address, if it is somebody's. Whether it is, only the mailbox learns: the account is looked for when
/// this has been answered.
pub(crate) async fn forgot_password(
    State(accounts): State<Arc<Accounts>>,
    client: Client,
    Checked(Forgotten { email }): Checked<Forgotten>,
) -> Result<StatusCode, Error> {
    client.limit_attempts(Target::Act("forgot")).await?;
    let email = NormalName::of(&email);
    client.limit_mails(&email).await?;
    accounts.post.ask(Wish::Reset(email))?;
    Ok(StatusCode::NO_CONTENT)
}
