//! `GET /api/streams`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::Streams;
use crate::database::storable;
use crate::error::Error;
use crate::json::Query;
use crate::page::{self, Page};
use crate::stream::{StreamRow, StreamView, select_streams};
use crate::text::SearchWords;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// A category's slug.
    #[garde(length(bytes, max = 64))]
    category: Option<String>,
    /// Words of title or description.
    #[garde(dive)]
    q: Option<SearchWords>,
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
    /// Latest start first.
    Recent,
}

/// Where a page by viewers ended. The count is the snapshot that the page was sorted by: streams that overtake each other
/// between two pages may appear twice or not at all, as in every list that moves.
#[derive(Serialize, Deserialize)]
struct ByViewers {
    viewers: i32,
    id: Uuid,
}

/// Where a page by start ended, in microseconds since 1970: the database's own precision.
#[derive(Serialize, Deserialize)]
struct ByStart {
    started: i64,
    id: Uuid,
}

impl ByStart {
    fn of(row: &StreamRow) -> Self {
        Self { started: row.started_at.unwrap_or(row.created_at).timestamp_micros(), id: row.id }
    }

    /// None for what no list of ours has said.
    fn instant(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.started).filter(storable)
    }
}

/// What is live.
pub(crate) async fn list(
    State(streams): State<Arc<Streams>>,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<StreamView>, Error> {
    let limit = wanted.limit.unwrap_or(page::DEFAULT_LIMIT);
    let rows = i64::from(limit) + 1;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (category, words) = (wanted.category, wanted.q.as_ref().map(SearchWords::as_str));
    let view = |row| StreamView::new(&streams, row);
    Ok(match wanted.sort {
        Sort::Viewers => {
            let after = page::decode_cursor::<ByViewers>(wanted.cursor.as_deref())?;
            let (viewers, id) = after.map_or((None, None), |place| (Some(place.viewers), Some(place.id)));
            let rows = select_streams!(
                r#"where s.is_live
                   and ($1::text is null or exists (
                       select from stream_categories sc join categories c on c.id = sc.category_id
                       where sc.stream_id = s.id and c.slug = $1))
                   and ($2::text is null or to_tsvector('simple', s.title || ' ' || s.description)
                       @@ websearch_to_tsquery('simple', $2))
                   and ($3::int is null or (s.viewer_count, s.id) < ($3, $4::uuid))
                   order by s.viewer_count desc, s.id desc limit $5"#,
                category,
                words,
                viewers,
                id,
                rows
            )
            .fetch_all(&streams.database)
            .await?;
            let place = |row: &StreamRow| ByViewers { viewers: row.viewer_count, id: row.id };
            Page::new(rows, limit, &uri, place, view)
        }
        Sort::Recent => {
            let after = page::decode_cursor::<ByStart>(wanted.cursor.as_deref())?;
            let after = after
                .map(|place| place.instant().map(|started| (started, place.id)).ok_or_else(page::no_cursor))
                .transpose()?;
            let (started, id) = after.unzip();
            let rows = select_streams!(
                r#"where s.is_live
                   and ($1::text is null or exists (
                       select from stream_categories sc join categories c on c.id = sc.category_id
                       where sc.stream_id = s.id and c.slug = $1))
                   and ($2::text is null or to_tsvector('simple', s.title || ' ' || s.description)
                       @@ websearch_to_tsquery('simple', $2))
                   and ($3::timestamptz is null
                        or (coalesce(s.started_at, s.created_at), s.id) < ($3, $4::uuid))
                   order by coalesce(s.started_at, s.created_at) desc, s.id desc limit $5"#,
                category,
                words,
                started,
                id,
                rows
            )
            .fetch_all(&streams.database)
            .await?;
            Page::new(rows, limit, &uri, ByStart::of, view)
        }
    })
}
