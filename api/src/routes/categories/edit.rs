//! `PATCH /api/categories/:slug`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::administration::{Act, Actor, record};
use crate::app::Streams;
use crate::auth::Admin;
use crate::category::{self, CategoryView, KnownCategory, Slug};
use crate::client::Client;
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
    client: Client,
    category: KnownCategory,
    Checked(changes): Checked<Changes>,
) -> Result<Json<CategoryView>, Error> {
    let (name, slug) =
        (changes.name.as_ref().map(CategoryName::as_str), changes.slug.as_ref().map(Slug::as_str));
    if name.is_none() && slug.is_none() {
        return Ok(Json(CategoryView::find(&streams.database, category.id).await?));
    }
    let mut tx = streams.database.begin().await?;
    sqlx::query!(
        "update categories set name = coalesce($2, name), slug = coalesce($3, slug) where id = $1",
        category.id,
        name,
        slug
    )
    .execute(&mut *tx)
    .await
    .map_err(category::taken_or)?;
    let act = Act::CategoryChanged { category: category.id, former_slug: &category.slug, name, slug };
    record(&mut tx, Actor::admin(admin, &client), act).await?;
    tx.commit().await?;
    Ok(Json(CategoryView::find(&streams.database, category.id).await?))
}
