//! `GET /api/categories/:slug/streams`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;

use crate::app::Streams;
use crate::category::KnownCategory;
use crate::error::Error;
use crate::json::Query;
use crate::language::LanguageTag;
use crate::page::{Limit, MAX_CURSOR, Page};
use crate::stream::{LiveList, Sort, StreamView};

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    #[garde(skip)]
    language: Option<LanguageTag>,
    #[serde(default)]
    #[garde(skip)]
    sort: Sort,
    #[serde(default)]
    #[garde(dive)]
    limit: Limit,
    #[garde(length(bytes, max = MAX_CURSOR))]
    cursor: Option<String>,
}

/// What is live in a category.
pub(crate) async fn streams(
    State(streams): State<Arc<Streams>>,
    category: KnownCategory,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<StreamView>, Error> {
    let Wanted { language, sort, limit, cursor } = wanted;
    let live = LiveList { category: Some(category.slug), language, sort, ..LiveList::default() };
    live.page(&streams, &uri, limit, cursor.as_deref()).await
}
