//! `PUT /api/users/me/blocks/:id` and `DELETE /api/users/me/blocks/:id`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::people::{self, FormerPerson, KnownPerson};

/// Keeps somebody away from the caller.
pub(crate) async fn block(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: KnownPerson,
) -> Result<StatusCode, Error> {
    people::block(&accounts.database, caller, person).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets them near again.
pub(crate) async fn unblock(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: FormerPerson,
) -> Result<StatusCode, Error> {
    people::unblock(&accounts.database, caller, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
