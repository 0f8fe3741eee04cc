//! What is live: all of it, of a category, in a language, found by words, or of whom somebody follows.

use axum::http::Uri;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{StreamRow, StreamView, select_streams};
use crate::app::Streams;
use crate::error::Error;
use crate::language::LanguageTag;
use crate::page::{ByTime, Limit, Page, decode_cursor};
use crate::text::SearchWords;

/// Which live streams, and in what order. What is absent does not filter.
#[derive(Default)]
pub(crate) struct LiveList {
    /// A category's slug.
    pub(crate) category: Option<String>,
    /// `es` stands for `es-MX` too.
    pub(crate) language: Option<LanguageTag>,
    /// Words of title or description.
    pub(crate) words: Option<SearchWords>,
    /// Whose streams: those whom this person follows.
    pub(crate) followed_by: Option<Uuid>,
    pub(crate) sort: Sort,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
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

/// Rows of `select_streams` that pass the filter in `$1` to `$4`. The category's id is looked up first, so that each
/// live stream costs one look at an index: joined with `categories`, PostgreSQL reads all streams of all times that were in that category.
macro_rules! select_live {
    ($order:literal, $list:expr, $place:expr, $id:expr, $rows:expr) => {
        select_streams!(
            r#"where s.is_live
               and ($1::text is null or exists (
                   select from stream_categories sc
                   where sc.stream_id = s.id and sc.category_id = (select c.id from categories c where c.slug = $1)))
               and ($2::text is null or s.language = $2 or s.language like $2 || '-%')
               and ($3::text is null or to_tsvector('simple', s.title || ' ' || s.description)
                   @@ websearch_to_tsquery('simple', $3))
               and ($4::uuid is null or exists (
                   select from followers f where f.follower_id = $4 and f.following_id = s.user_id)) "#
                + $order,
            $list.category,
            $list.language.as_ref().map(LanguageTag::as_str),
            $list.words.as_ref().map(SearchWords::as_str),
            $list.followed_by,
            $place,
            $id,
            $rows
        )
    };
}

impl LiveList {
    /// One page of it.
    pub(crate) async fn page(
        self,
        streams: &Streams,
        uri: &Uri,
        limit: Limit,
        cursor: Option<&str>,
    ) -> Result<Page<StreamView>, Error> {
        let view = |row| StreamView::new(streams, row);
        Ok(match self.sort {
            Sort::Viewers => {
                let rows = self.by_viewers(streams, decode_cursor(cursor)?, limit.rows()).await?;
                let place = |row: &StreamRow| ByViewers { viewers: row.viewer_count, id: row.id };
                Page::new(rows, limit.items(), uri, place, view)
            }
            Sort::Recent => {
                let rows = self.by_start(streams, ByTime::after(cursor)?, limit.rows()).await?;
                let place = |row: &StreamRow| ByTime::new(row.started_at.unwrap_or(row.created_at), row.id);
                Page::new(rows, limit.items(), uri, place, view)
            }
        })
    }

    /// The `most` that are watched most.
    pub(crate) async fn top(self, streams: &Streams, most: i64) -> Result<Vec<StreamView>, Error> {
        let rows = self.by_viewers(streams, None, most).await?;
        Ok(rows.into_iter().map(|row| StreamView::new(streams, row)).collect())
    }

    async fn by_viewers(
        &self,
        streams: &Streams,
        after: Option<ByViewers>,
        rows: i64,
    ) -> Result<Vec<StreamRow>, Error> {
        let (viewers, id) = after.map(|place| (place.viewers, place.id)).unzip();
        let rows = select_live!(
            r#"and ($5::int is null or (s.viewer_count, s.id) < ($5, $6::uuid))
               order by s.viewer_count desc, s.id desc limit $7"#,
            self,
            viewers,
            id,
            rows
        );
        Ok(rows.fetch_all(&streams.database).await?)
    }

    async fn by_start(
        &self,
        streams: &Streams,
        (started, id): (Option<DateTime<Utc>>, Option<Uuid>),
        rows: i64,
    ) -> Result<Vec<StreamRow>, Error> {
        let rows = select_live!(
            r#"and ($5::timestamptz is null or (coalesce(s.started_at, s.created_at), s.id) < ($5, $6::uuid))
               order by coalesce(s.started_at, s.created_at) desc, s.id desc limit $7"#,
            self,
            started,
            id,
            rows
        );
        Ok(rows.fetch_all(&streams.database).await?)
    }
}
