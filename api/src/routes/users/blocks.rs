//! `GET /api/users/me/blocks`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::page::{ByTime, Paging};
use crate::people::{ListedPerson, People};

/// Whom the caller has blocked.
pub(crate) async fn blocks(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<People, Error> {
    let (since, id) = ByTime::after(paging.cursor.as_deref())?;
    let rows = sqlx::query_as!(
        ListedPerson,
        r#"select u.id, u.username, u.display_name, u.avatar_url as avatar, l.created_at as since
           from user_blocks l join users u on u.id = l.blocked_id
           where l.blocker_id = $1 and ($2::timestamptz is null or (l.created_at, l.blocked_id) < ($2, $3::uuid))
           order by l.created_at desc, l.blocked_id desc limit $4"#,
        caller.user,
        since,
        id,
        paging.limit.rows()
    )
    .fetch_all(&accounts.database)
    .await?;
    Ok(People::of(rows, paging.limit.items(), &uri))
}
