//! `GET /api/search`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::Streams;
use crate::category::CategoryView;
use crate::error::Error;
use crate::json::Query;
use crate::people::Channel;
use crate::stream::{LiveList, StreamView};
use crate::text::SearchWords;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The beginning of a name, or words.
    #[garde(dive)]
    #[param(inline)]
    q: SearchWords,
    /// One kind alone.
    #[garde(skip)]
    #[param(inline)]
    r#type: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Channels,
    Streams,
    Categories,
}

/// What was found, ten of each kind; nothing of a kind that was not asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Found {
    channels: Vec<Channel>,
    streams: Vec<StreamView>,
    categories: Vec<CategoryView>,
}

/// Channels by the beginning of a name, live streams by words of title and description, categories by a part of the name.
#[utoipa::path(
    get, path = "/api/search", security(()),
    params(Wanted),
    responses((status = 200, body = Found)),
)]
pub(crate) async fn search(
    State(streams): State<Arc<Streams>>,
    Query(Wanted { q, r#type: kind }): Query<Wanted>,
) -> Result<Json<Found>, Error> {
    let wanted = |one| kind.is_none_or(|kind| kind == one);
    let channels =
        if wanted(Kind::Channels) { Channel::top(&streams.database, &q, MOST).await? } else { Vec::new() };
    let categories = if wanted(Kind::Categories) {
        CategoryView::top(&streams.database, &q, MOST).await?
    } else {
        Vec::new()
    };
    let live = LiveList { words: Some(q), ..LiveList::default() };
    let streams = if wanted(Kind::Streams) { live.top(&streams, MOST).await? } else { Vec::new() };
    Ok(Json(Found { channels, streams, categories }))
}

/// What the OpenAPI document has of it.
#[derive(utoipa::OpenApi)]
#[openapi(paths(search))]
pub(crate) struct Operations;

/// As many as somebody looks through before they type more.
const MOST: i64 = 10;
