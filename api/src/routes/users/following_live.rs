//! `GET /api/users/me/following/live`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Streams;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::page::{Page, Paging};
use crate::stream::{LiveList, StreamView};

/// Who is live of those whom the caller follows.
#[utoipa::path(
    get, path = "/api/users/me/following/live", security(("user" = [])),
    params(Paging),
    responses((status = 200, body = Vec<StreamView>)),
)]
pub(crate) async fn following_live(
    State(streams): State<Arc<Streams>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<Page<StreamView>, Error> {
    let live = LiveList { followed_by: Some(caller.user), ..LiveList::default() };
    live.page(&streams, &uri, paging.limit, paging.cursor.as_deref()).await
}
