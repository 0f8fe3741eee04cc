//! `GET /api/users/me`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::account::Account;
use crate::app::Accounts;
use crate::auth::{AuthError, Caller};
use crate::error::Error;

/// The caller's own account.
#[utoipa::path(
    get, path = "/api/users/me", security(("user" = [])),
    responses((status = 200, body = Account)),
)]
pub(crate) async fn me(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
) -> Result<Json<Account>, Error> {
    let account = Account::find(&accounts.database, caller.user).await?;
    Ok(Json(account.ok_or(AuthError::SessionRevoked)?))
}
