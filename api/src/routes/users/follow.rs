//! `POST /api/users/:id/follow` and `DELETE /api/users/:id/follow`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::people::{self, FormerPerson, KnownPerson};

/// Follows somebody.
pub(crate) async fn follow(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: KnownPerson,
) -> Result<StatusCode, Error> {
    people::follow(&accounts.database, caller, person).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Follows them no longer.
pub(crate) async fn unfollow(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: FormerPerson,
) -> Result<StatusCode, Error> {
    people::unfollow(&accounts.database, caller, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
