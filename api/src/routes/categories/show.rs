//! `GET /api/categories/:slug`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Streams;
use crate::category::{CategoryView, KnownCategory};
use crate::error::Error;

/// One category.
pub(crate) async fn show(
    State(streams): State<Arc<Streams>>,
    category: KnownCategory,
) -> Result<Json<CategoryView>, Error> {
    Ok(Json(CategoryView::find(&streams.database, category.id).await?))
}
