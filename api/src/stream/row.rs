//! A stream as the database has it, with its owner and categories.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::StoredAccess;

/// One row of [`select_streams`].
#[derive(Clone, Debug)]
pub(crate) struct StreamRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) username: String,
    pub(crate) display_name: Option<String>,
    pub(crate) avatar_url: Option<String>,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) thumbnail_url: Option<String>,
    pub(crate) stream_url: Option<String>,
    pub(crate) is_live: bool,
    /// The snapshot that lists are sorted by.
    pub(crate) viewer_count: i32,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) access: StoredAccess,
    pub(crate) language: Option<String>,
    pub(crate) revision: i32,
    pub(crate) categories: Json<Vec<Category>>,
}

/// What a stream is about.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Category {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) slug: String,
}

/// `select … from streams s join users u …` with the clauses that follow; a macro, because a query that is checked at
/// compile time must be one literal.
macro_rules! select_streams {
    ($clauses:literal $(+ $more:literal)* $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::stream::StreamRow,
            r#"select s.id, s.user_id, u.username, u.display_name, u.avatar_url, s.title, s.description,
                      s.thumbnail_url, s.stream_url, s.is_live, s.viewer_count, s.started_at, s.ended_at,
                      s.created_at, s.access, s.language, s.revision,
                      coalesce(
                          (select jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'slug', c.slug)
                                            order by c.name)
                           from stream_categories sc join categories c on c.id = sc.category_id
                           where sc.stream_id = s.id),
                          '[]'::jsonb
                      ) as "categories!: sqlx::types::Json<Vec<crate::stream::Category>>"
               from streams s join users u on u.id = s.user_id "# + $clauses $(+ $more)*
            $(, $argument)*
        )
    };
}
pub(crate) use select_streams;
