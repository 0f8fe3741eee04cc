//! `GET /api/users/:id/following`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::page::Paging;
use crate::people::{KnownPerson, People, listed};

/// Whom the caller follows, also those who are banned now.
pub(crate) async fn following(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: KnownPerson,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<People, Error> {
    person.must_be(caller)?;
    listed!("followers", "follower_id", "following_id", &accounts.database, caller, &uri, paging)
}
