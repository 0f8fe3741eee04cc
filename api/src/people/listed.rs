//! Lists of people, by when they were followed or blocked: the latest first.

use axum::http::Uri;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::Streamer;
use crate::page::{ByTime, Page};

/// One row of a list.
pub(crate) struct ListedPerson {
    pub(crate) id: Uuid,
    pub(crate) username: String,
    pub(crate) display_name: Option<String>,
    pub(crate) avatar: Option<String>,
    pub(crate) since: DateTime<Utc>,
}

/// A page of the caller's list in a table, `whose` being the column of the caller and `who` of those in it; a macro, because a query that
/// is checked at compile time must be one literal.
macro_rules! listed {
    ($table:literal, $whose:literal, $who:literal, $database:expr, $caller:expr, $uri:expr, $paging:expr) => {{
        let (since, id) = $crate::page::ByTime::after($paging.cursor.as_deref())?;
        let rows = sqlx::query_as!(
            $crate::people::ListedPerson,
            r#"select u.id, u.username, u.display_name, u.avatar_url as avatar, l.created_at as since
           from "#
                + $table
                + r#" l join users u on u.id = l."#
                + $who
                + r#"
           where l."#
                + $whose
                + r#" = $1 and ($2::timestamptz is null or (l.created_at, l."#
                + $who
                + r#") < ($2, $3::uuid))
           order by l.created_at desc, l."#
                + $who
                + r#" desc limit $4"#,
            $caller.user,
            since,
            id,
            $paging.limit.rows()
        );
        Ok($crate::people::People::of(rows.fetch_all($database).await?, $paging.limit.items(), $uri))
    }};
}
pub(crate) use listed;

/// Somebody in a list, and since when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Person {
    user: Streamer,
    since: DateTime<Utc>,
}

/// A page of such a list.
pub(crate) type People = Page<Person>;

impl People {
    /// From `limit + 1` rows.
    pub(crate) fn of(rows: Vec<ListedPerson>, limit: usize, uri: &Uri) -> Self {
        let place = |row: &ListedPerson| ByTime::new(row.since, row.id);
        Self::new(rows, limit, uri, place, |row| Person {
            user: Streamer {
                id: row.id,
                username: row.username,
                display_name: row.display_name,
                avatar: row.avatar,
            },
            since: row.since,
        })
    }
}
