//! `GET /api/categories/:slug/streams`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::Streams;
use crate::category::KnownCategory;
use crate::error::Error;
use crate::json::Query;
use crate::language::LanguageTag;
use crate::page::{Limit, MAX_CURSOR, Page};
use crate::stream::{LiveList, Sort, StreamView};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// `es` stands for `es-MX` too.
    #[garde(skip)]
    #[param(inline)]
    language: Option<LanguageTag>,
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

/// What is live in a category.
#[utoipa::path(
    get, path = "/api/categories/{slug}/streams", security(()),
    params(KnownCategory, Wanted),
    responses(
        (status = 200, body = Vec<StreamView>),
        (status = 404, description = "not_found"),
    ),
)]
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
