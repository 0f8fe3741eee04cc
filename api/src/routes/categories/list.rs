//! `GET /api/categories`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::Streams;
use crate::category::CategoryView;
use crate::error::Error;
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page};
use crate::text::SearchWords;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A part of the name.
    #[garde(dive)]
    #[param(inline)]
    q: Option<SearchWords>,
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

/// All categories, the most watched first.
#[utoipa::path(
    get, path = "/api/categories", security(()),
    params(Wanted),
    responses((status = 200, body = Vec<CategoryView>)),
)]
pub(crate) async fn list(
    State(streams): State<Arc<Streams>>,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<CategoryView>, Error> {
    let Wanted { q: words, limit, cursor } = wanted;
    CategoryView::page(&streams.database, &uri, words, limit, cursor.as_deref()).await
}
