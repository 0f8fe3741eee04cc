//! `POST /api/auth/password/forgot`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::Accounts;
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::limits::Target;
use crate::mail::Wish;
use crate::names::NormalName;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ForgottenPassword)]
pub(crate) struct Forgotten {
    #[garde(length(bytes, min = 1, max = 254))]
    #[schema(min_length = 1, max_length = 254, example = "ana@example.org")]
    email: String,
}

/// Has a link mailed to an address, if it is somebody's. Whether it is, only the mailbox learns: the account is looked for when
/// this has been answered.
#[utoipa::path(
    post, path = "/api/auth/password/forgot", security(()),
    request_body = Forgotten,
    responses(
        (status = 204),
        (status = 503, description = "overloaded"),
    ),
)]
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
