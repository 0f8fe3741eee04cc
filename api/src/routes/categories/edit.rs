//! `PATCH /api/categories/:slug`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::Streams;
use crate::auth::Admin;
use crate::category::{self, CategoryView, KnownCategory, Slug};
use crate::error::Error;
use crate::json::Checked;
use crate::text::CategoryName;

/// What is absent stays as it is.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CategoryChanges)]
pub(crate) struct Changes {
    #[garde(dive)]
    name: Option<CategoryName>,
    #[garde(skip)]
    slug: Option<Slug>,
}

/// Changes a category's name or address. Nothing leads from the former address to the new one.
#[utoipa::path(
    patch, path = "/api/categories/{slug}", security(("admin" = [])),
    params(KnownCategory), request_body = Changes,
    responses(
        (status = 200, body = CategoryView),
        (status = 404, description = "not_found"),
        (status = 409, description = "taken"),
    ),
)]
pub(crate) async fn edit(
    State(streams): State<Arc<Streams>>,
    Admin(admin): Admin,
    category: KnownCategory,
    Checked(changes): Checked<Changes>,
) -> Result<Json<CategoryView>, Error> {
    sqlx::query!(
        "update categories set name = coalesce($2, name), slug = coalesce($3, slug) where id = $1",
        category.id,
        changes.name.as_ref().map(CategoryName::as_str),
        changes.slug.as_ref().map(Slug::as_str)
    )
    .execute(&streams.database)
    .await
    .map_err(category::taken_or)?;
    tracing::info!(target: "caudal_api::audit", user = %admin.user, slug = category.slug, "a category was changed");
    Ok(Json(CategoryView::find(&streams.database, category.id).await?))
}
