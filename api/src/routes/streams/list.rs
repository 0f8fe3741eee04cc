//! `GET /api/streams`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;

use crate::app::Streams;
use crate::error::Error;
use crate::json::Query;
use crate::language::LanguageTag;
use crate::page::{Limit, MAX_CURSOR, Page};
use crate::stream::{LiveList, Sort, StreamView};
use crate::text::SearchWords;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// A category's slug.
    #[garde(length(bytes, max = 64))]
    category: Option<String>,
    #[garde(skip)]
    language: Option<LanguageTag>,
    /// Words of title or description.
    #[garde(dive)]
    q: Option<SearchWords>,
    #[serde(default)]
    #[garde(skip)]
    sort: Sort,
    #[serde(default)]
    #[garde(dive)]
    limit: Limit,
    #[garde(length(bytes, max = MAX_CURSOR))]
    cursor: Option<String>,
}

/// What is live.
pub(crate) async fn list(
    State(streams): State<Arc<Streams>>,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<StreamView>, Error> {
    let Wanted { category, language, q: words, sort, limit, cursor } = wanted;
    let live = LiveList { category, language, words, sort, followed_by: None };
    live.page(&streams, &uri, limit, cursor.as_deref()).await
}
