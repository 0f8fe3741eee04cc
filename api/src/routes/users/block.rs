//! `PUT /api/users/me/blocks/:id` and `DELETE /api/users/me/blocks/:id`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::people::{self, FormerPerson, KnownPerson};

/// Blocks somebody: neither follows the other any more, nor can again.
#[utoipa::path(
    put, path = "/api/users/me/blocks/{id}", security(("user" = [])),
    params(KnownPerson),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
        (status = 409, description = "too_many"),
        (status = 422, description = "oneself"),
    ),
)]
pub(crate) async fn block(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: KnownPerson,
) -> Result<StatusCode, Error> {
    people::block(&accounts.database, caller, person).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a block.
#[utoipa::path(
    delete, path = "/api/users/me/blocks/{id}", security(("user" = [])),
    params(FormerPerson),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn unblock(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: FormerPerson,
) -> Result<StatusCode, Error> {
    people::unblock(&accounts.database, caller, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
