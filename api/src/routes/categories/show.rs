//! `GET /api/categories/:slug`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Streams;
use crate::category::{CategoryView, KnownCategory};
use crate::error::Error;

/// One category.
#[utoipa::path(
    get, path = "/api/categories/{slug}", security(()),
    params(KnownCategory),
    responses(
        (status = 200, body = CategoryView),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn show(
    State(streams): State<Arc<Streams>>,
    category: KnownCategory,
) -> Result<Json<CategoryView>, Error> {
    Ok(Json(CategoryView::find(&streams.database, category.id).await?))
}
