//! `POST /api/users/:id/follow` and `DELETE /api/users/:id/follow`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::people::{self, FormerPerson, KnownPerson};

/// Follows somebody.
#[utoipa::path(
    post, path = "/api/users/{id}/follow", security(("user" = [])),
    params(KnownPerson),
    responses(
        (status = 204),
        (status = 403, description = "blocked"),
        (status = 404, description = "not_found"),
        (status = 409, description = "too_many"),
        (status = 422, description = "oneself"),
    ),
)]
pub(crate) async fn follow(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: KnownPerson,
) -> Result<StatusCode, Error> {
    people::follow(&accounts.database, caller, person).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Follows somebody no longer.
#[utoipa::path(
    delete, path = "/api/users/{id}/follow", security(("user" = [])),
    params(FormerPerson),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn unfollow(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: FormerPerson,
) -> Result<StatusCode, Error> {
    people::unfollow(&accounts.database, caller, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
