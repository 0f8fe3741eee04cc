//! `GET /api/users/:id/followers`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::page::Paging;
use crate::people::{KnownPerson, People, Person, listed};

/// Who follows the caller: how many is everybody's to know, who is theirs.
#[utoipa::path(
    get, path = "/api/users/{id}/followers", security(("owner" = [])),
    params(KnownPerson, Paging),
    responses(
        (status = 200, body = Vec<Person>),
        (status = 404, description = "not_found"),
    ),
)]
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
