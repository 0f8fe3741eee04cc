//! `DELETE /api/categories/:slug`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Streams;
use crate::auth::Admin;
use crate::category::KnownCategory;
use crate::error::Error;

/// Removes a category, and takes it from every stream that had it.
#[utoipa::path(
    delete, path = "/api/categories/{slug}", security(("admin" = [])),
    params(KnownCategory),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn remove(
    State(streams): State<Arc<Streams>>,
    Admin(admin): Admin,
    category: KnownCategory,
) -> Result<StatusCode, Error> {
    sqlx::query!("delete from categories where id = $1", category.id).execute(&streams.database).await?;
    tracing::info!(target: "caudal_api::audit", user = %admin.user, slug = category.slug, "a category was removed");
    Ok(StatusCode::NO_CONTENT)
}
