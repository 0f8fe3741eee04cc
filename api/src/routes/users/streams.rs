//! `GET /api/users/:id/streams`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::app::Streams;
use crate::error::Error;
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page, decode_cursor};
use crate::people::KnownPerson;
use crate::stream::{StreamRow, StreamView, select_streams};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Those that are live, or those that are not; both without it.
    #[garde(skip)]
    live: Option<bool>,
    /// Rows of a page.
    #[serde(default)]
    #[garde(dive)]
    #[param(inline)]
    limit: Limit,
    /// Where the page begins: as the last one's `Link` has it.
    #[garde(length(bytes, max = MAX_CURSOR))]
    #[param(max_length = 256)]
    cursor: Option<String>,
}

/// Somebody's broadcasts, the latest first. What was prepared and never went live is nobody else's.
#[utoipa::path(
    get, path = "/api/users/{id}/streams", security(()),
    params(KnownPerson, Wanted),
    responses(
        (status = 200, body = Vec<StreamView>),
        (status = 404, description = "not_found"),
    ),
)]
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
