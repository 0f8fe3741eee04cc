//! `GET /api/users/me/blocks`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::page::Paging;
use crate::people::{People, Person, listed};

/// Whom the caller has blocked.
#[utoipa::path(
    get, path = "/api/users/me/blocks", security(("user" = [])),
    params(Paging),
    responses((status = 200, body = Vec<Person>)),
)]
pub(crate) async fn blocks(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<People, Error> {
    listed!("user_blocks", "blocker_id", "blocked_id", &accounts.database, caller, &uri, paging)
}
