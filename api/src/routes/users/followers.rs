//! `GET /api/users/:id/followers`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::page::Paging;
use crate::people::{KnownPerson, People, listed};

/// Who follows the caller: how many is everybody's to know, who is theirs.
pub(crate) async fn followers(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: KnownPerson,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<People, Error> {
    person.must_be(caller)?;
    listed!("followers", "following_id", "follower_id", &accounts.database, caller, &uri, paging)
}
