//! `GET /api/users/:id/following`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::json::Query;
use crate::page::{ByTime, Paging};
use crate::people::{KnownPerson, ListedPerson, People, PeopleError};

/// Whom the caller follows, also those who are banned now.
pub(crate) async fn following(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    KnownPerson(person): KnownPerson,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<People, Error> {
    if caller.user != person {
        return Err(PeopleError::NotYou.into());
    }
    let (since, id) = ByTime::after(paging.cursor.as_deref())?;
    let rows = sqlx::query_as!(
        ListedPerson,
        r#"select u.id, u.username, u.display_name, u.avatar_url as avatar, l.created_at as since
           from followers l join users u on u.id = l.following_id
           where l.follower_id = $1 and ($2::timestamptz is null or (l.created_at, l.following_id) < ($2, $3::uuid))
           order by l.created_at desc, l.following_id desc limit $4"#,
        caller.user,
        since,
        id,
        paging.limit.rows()
    )
    .fetch_all(&accounts.database)
    .await?;
    Ok(People::of(rows, paging.limit.items(), &uri))
}
