//! `DELETE /api/categories/:slug`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::administration::{Act, Actor, record};
use crate::app::Streams;
use crate::auth::Admin;
use crate::category::KnownCategory;
use crate::client::Client;
use crate::error::Error;
use crate::pictures::{self, PictureKind};

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
    client: Client,
    category: KnownCategory,
) -> Result<StatusCode, Error> {
    let mut tx = streams.database.begin().await?;
    let removed = sqlx::query!("delete from categories where id = $1", category.id).execute(&mut *tx).await?;
    if removed.rows_affected() == 0 {
        // Another admin was quicker.
        return Err(Error::NotFound("this category"));
    }
    pictures::hide(&mut *tx, PictureKind::Icon, category.id).await?;
    let act = Act::CategoryRemoved { category: category.id, slug: &category.slug };
    record(&mut tx, Actor::admin(admin, &client), act).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
