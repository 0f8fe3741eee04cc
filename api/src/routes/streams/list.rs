//! `GET /api/streams`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::error::Error;
use crate::json::Query;
use crate::page::{self, Page};
use crate::stream::{StreamRow, StreamView, select_streams};

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// A category's slug.
    #[garde(length(bytes, max = 64))]
    category: Option<String>,
    /// Words of title or description.
    #[garde(length(chars, min = 2, max = 64))]
    q: Option<String>,
    #[serde(default)]
    #[garde(skip)]
    sort: Sort,
    #[garde(range(min = 1, max = page::MAX_LIMIT))]
    limit: Option<u32>,
    #[garde(length(bytes, max = 256))]
    cursor: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    /// Most watched first.
    #[default]
    Viewers,
    /// Newest first.
    Recent,
}

/// Where a page ended. The count is the snapshot that the page was sorted by: streams that overtake each other between
/// two pages may appear twice or not at all, as in every list that moves.
#[derive(Serialize, Deserialize)]
struct Place {
    viewers: i32,
    id: Uuid,
}

/// What is live.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<StreamView>, Error> {
    let limit = wanted.limit.unwrap_or(page::DEFAULT_LIMIT);
    let after = page::decode_cursor::<Place>(wanted.cursor.as_deref())?;
    let (viewers, id) = after.map_or((None, None), |place| (Some(place.viewers), Some(place.id)));
    let rows: Vec<StreamRow> = match wanted.sort {
        Sort::Viewers => {
            select_streams!(
                r#"where s.is_live
                   and ($1::text is null or exists (
                       select from stream_categories sc join categories c on c.id = sc.category_id
                       where sc.stream_id = s.id and c.slug = $1))
                   and ($2::text is null or to_tsvector('simple', s.title || ' ' || s.description)
                       @@ websearch_to_tsquery('simple', $2))
                   and ($3::int is null or (s.viewer_count, s.id) < ($3, $4::uuid))
                   order by s.viewer_count desc, s.id desc limit $5"#,
                wanted.category,
                wanted.q,
                viewers,
                id,
                i64::from(limit) + 1
            )
            .fetch_all(&app.database)
            .await?
        }
        Sort::Recent => {
            select_streams!(
                r#"where s.is_live
                   and ($1::text is null or exists (
                       select from stream_categories sc join categories c on c.id = sc.category_id
                       where sc.stream_id = s.id and c.slug = $1))
                   and ($2::text is null or to_tsvector('simple', s.title || ' ' || s.description)
                       @@ websearch_to_tsquery('simple', $2))
                   and ($3::uuid is null or s.id < $3)
                   order by s.id desc limit $4"#,
                wanted.category,
                wanted.q,
                id,
                i64::from(limit) + 1
            )
            .fetch_all(&app.database)
            .await?
        }
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let place = |row: &StreamRow| Place { viewers: row.viewer_count, id: row.id };
    Ok(Page::new(rows, limit, &uri, place, |row| StreamView::new(&app, row)))
}
