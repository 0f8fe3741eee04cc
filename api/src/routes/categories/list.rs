//! `GET /api/categories`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;

use crate::app::Streams;
use crate::category::CategoryView;
use crate::error::Error;
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page};
use crate::text::SearchWords;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// A part of the name.
    #[garde(dive)]
    q: Option<SearchWords>,
    #[serde(default)]
    #[garde(dive)]
    limit: Limit,
    #[garde(length(bytes, max = MAX_CURSOR))]
    cursor: Option<String>,
}

/// All categories, the most watched first.
pub(crate) async fn list(
    State(streams): State<Arc<Streams>>,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<CategoryView>, Error> {
    let Wanted { q: words, limit, cursor } = wanted;
    CategoryView::page(&streams.database, &uri, words, limit, cursor.as_deref()).await
}
