//! `GET /api/streams`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::Streams;
use crate::error::Error;
use crate::json::Query;
use crate::language::LanguageTag;
use crate::page::{Limit, MAX_CURSOR, Page};
use crate::stream::{LiveList, Sort, StreamView};
use crate::text::SearchWords;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A category's slug.
    #[garde(length(bytes, max = 64))]
    #[param(max_length = 64, example = "music")]
    category: Option<String>,
    /// `es` stands for `es-MX` too.
    #[garde(skip)]
    #[param(inline)]
    language: Option<LanguageTag>,
    /// Words of title or description.
    #[garde(dive)]
    #[param(inline)]
    q: Option<SearchWords>,
    /// The most watched first, or the latest start.
    #[serde(default)]
    #[garde(skip)]
    #[param(inline)]
    sort: Sort,
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

/// What is live.
#[utoipa::path(
    get, path = "/api/streams", security(()),
    params(Wanted),
    responses((status = 200, body = Vec<StreamView>)),
)]
pub(crate) async fn list(
    State(streams): State<Arc<Streams>>,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<StreamView>, Error> {
    let Wanted { category, language, q: words, sort, limit, cursor } = wanted;
    let live = LiveList { category, language, words, sort, followed_by: None };
    live.page(&streams, &uri, limit, cursor.as_deref()).await
}
