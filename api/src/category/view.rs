//! Categories as JSON, with how many watch what is live in each.

use axum::http::Uri;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Error;
use crate::page::{Limit, Page, decode_cursor, no_cursor};
use crate::text::{SearchWords, pattern_of_part};

/// A category, for everybody.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CategoryWithCounts)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CategoryView {
    id: Uuid,
    name: String,
    slug: String,
    icon: Option<String>,
    live_streams: i64,
    /// Of the snapshot that lists are sorted by.
    viewers: i64,
}

/// Where a page ended: the most watched first, and by name where as many watch.
#[derive(Serialize, Deserialize)]
struct Place {
    viewers: i64,
    name: String,
}

impl CategoryView {
    /// A page of all, or of those that have `words` in their name.
    pub(crate) async fn page(
        database: &PgPool,
        uri: &Uri,
        words: Option<SearchWords>,
        limit: Limit,
        cursor: Option<&str>,
    ) -> Result<Page<Self>, Error> {
        let after = decode_cursor::<Place>(cursor)?;
        // No name has a NUL, and PostgreSQL takes none.
        if after.as_ref().is_some_and(|place| place.name.contains('\0')) {
            return Err(no_cursor().into());
        }
        let rows = Self::by_viewers(database, words.as_ref(), after, limit.rows()).await?;
        let place = |row: &Self| Place { viewers: row.viewers, name: row.name.clone() };
        Ok(Page::new(rows, limit.items(), uri, place, |row| row))
    }

    /// The `most` that are watched most, of those that have `words` in their name.
    pub(crate) async fn top(database: &PgPool, words: &SearchWords, most: i64) -> Result<Vec<Self>, Error> {
        Self::by_viewers(database, Some(words), None, most).await
    }

    /// One of them.
    pub(crate) async fn find(database: &PgPool, id: Uuid) -> Result<Self, Error> {
        let found = sqlx::query_as!(
            Self,
            r#"select c.id, c.name, c.slug, c.icon_url as icon,
                      count(s.id) as "live_streams!", coalesce(sum(s.viewer_count), 0) as "viewers!"
               from categories c left join (
                   stream_categories sc join streams s on s.id = sc.stream_id and s.is_live
               ) on sc.category_id = c.id
               where c.id = $1 group by c.id"#,
            id
        );
        found.fetch_optional(database).await?.ok_or(Error::NotFound("this category"))
    }

    async fn by_viewers(
        database: &PgPool,
        words: Option<&SearchWords>,
        after: Option<Place>,
        rows: i64,
    ) -> Result<Vec<Self>, Error> {
        let (viewers, name) = after.map(|place| (place.viewers, place.name)).unzip();
        // From what is live, which is little, not from all that ever was.
        let rows = sqlx::query_as!(
            Self,
            r#"with watched as materialized (
                   select sc.category_id, count(*) as streams, sum(s.viewer_count) as viewers
                   from streams s join stream_categories sc on sc.stream_id = s.id
                   where s.is_live group by sc.category_id
               )
               select c.id, c.name, c.slug, c.icon_url as icon,
                      coalesce(w.streams, 0) as "live_streams!", coalesce(w.viewers, 0) as "viewers!"
               from categories c left join watched w on w.category_id = c.id
               where ($1::text is null or c.name ilike $1)
                 and ($2::bigint is null or coalesce(w.viewers, 0) < $2
                      or (coalesce(w.viewers, 0) = $2 and c.name > $3))
               order by coalesce(w.viewers, 0) desc, c.name limit $4"#,
            words.map(pattern_of_part),
            viewers,
            name,
            rows
        );
        Ok(rows.fetch_all(database).await?)
    }
}
