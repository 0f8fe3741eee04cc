//! `GET /api/users/:id/streams`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use uuid::Uuid;

use crate::app::Streams;
use crate::error::Error;
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page, decode_cursor};
use crate::people::KnownPerson;
use crate::stream::{StreamRow, StreamView, select_streams};

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Those that are live, or those that are not; both without it.
    #[garde(skip)]
    live: Option<bool>,
    #[serde(default)]
    #[garde(dive)]
    limit: Limit,
    #[garde(length(bytes, max = MAX_CURSOR))]
    cursor: Option<String>,
}

/// Somebody's broadcasts, the latest first. What was prepared and never went live is nobody else's.
pub(crate) async fn streams(
    State(streams): State<Arc<Streams>>,
    KnownPerson(person): KnownPerson,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<StreamView>, Error> {
    let after: Option<Uuid> = decode_cursor(wanted.cursor.as_deref())?;
    let rows = select_streams!(
        r#"where s.user_id = $1 and s.started_at is not null
           and ($2::bool is null or s.is_live = $2) and ($3::uuid is null or s.id < $3)
           order by s.id desc limit $4"#,
        person,
        wanted.live,
        after,
        wanted.limit.rows()
    )
    .fetch_all(&streams.database)
    .await?;
    let place = |row: &StreamRow| row.id;
    Ok(Page::new(rows, wanted.limit.items(), &uri, place, |row| StreamView::new(&streams, row)))
}
