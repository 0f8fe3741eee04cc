//! `GET /api/users/:id/following`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::page::Paging;
use crate::people::{KnownPerson, People, Person, listed};

/// Whom the caller follows, also those who are banned now.
#[utoipa::path(
    get, path = "/api/users/{id}/following", security(("owner" = [])),
    params(KnownPerson, Paging),
    responses(
        (status = 200, body = Vec<Person>),
        (status = 404, description = "not_found"),
    ),
)]
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
