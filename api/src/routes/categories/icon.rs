//! `PUT /api/categories/:slug/icon` and `DELETE /api/categories/:slug/icon`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::administration::{Act, Actor, record};
use crate::app::{Entrance, Streams};
use crate::auth::Admin;
use crate::category::{CategoryView, KnownCategory};
use crate::client::Client;
use crate::error::Error;
use crate::pictures::{self, PictureFile, PictureKind, Pictures, Upload};

/// Shows a category by a picture, of which the middle is kept: 288 by 384 pixels.
#[utoipa::path(
    put, path = "/api/categories/{slug}/icon", security(("admin" = [])),
    params(KnownCategory),
    request_body(content(
        (PictureFile = "image/jpeg"),
        (PictureFile = "image/png"),
        (PictureFile = "image/webp"),
    )),
    responses(
        (status = 200, body = CategoryView),
        (status = 404, description = "not_found"),
        (status = 409, description = "no_storage"),
        (status = 422, description = "picture_unreadable, too_many_pixels"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn set_icon(
    State(entrance): State<Arc<Entrance>>,
    State(streams): State<Arc<Streams>>,
    State(pictures): State<Arc<Pictures>>,
    Admin(admin): Admin,
    client: Client,
    category: KnownCategory,
    upload: Upload,
) -> Result<Json<CategoryView>, Error> {
    // Nobody's own: it stays when the admin leaves.
    let kept = pictures.keep(&entrance, admin.user, upload, PictureKind::Icon, category.id, None).await?;
    let mut tx = streams.database.begin().await?;
    let changed =
        sqlx::query!("update categories set icon_url = $2 where id = $1", category.id, kept.address());
    if changed.execute(&mut *tx).await?.rows_affected() == 0 {
        // Another admin has removed it meanwhile.
        return Err(Error::NotFound("this category"));
    }
    kept.show(&mut tx).await?;
    let act = Act::CategoryIconChanged { category: category.id, slug: &category.slug, removed: false };
    record(&mut tx, Actor::admin(admin, &client), act).await?;
    tx.commit().await?;
    Ok(Json(CategoryView::find(&streams.database, category.id).await?))
}

/// Takes a category's picture away.
#[utoipa::path(
    delete, path = "/api/categories/{slug}/icon", security(("admin" = [])),
    params(KnownCategory),
    responses(
        (status = 200, body = CategoryView),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn remove_icon(
    State(streams): State<Arc<Streams>>,
    Admin(admin): Admin,
    client: Client,
    category: KnownCategory,
) -> Result<Json<CategoryView>, Error> {
    let mut tx = streams.database.begin().await?;
    let removed = sqlx::query!(
        "update categories set icon_url = null where id = $1 and icon_url is not null",
        category.id
    );
    if removed.execute(&mut *tx).await?.rows_affected() > 0 {
        pictures::hide(&mut *tx, PictureKind::Icon, category.id).await?;
        let act = Act::CategoryIconChanged { category: category.id, slug: &category.slug, removed: true };
        record(&mut tx, Actor::admin(admin, &client), act).await?;
    }
    tx.commit().await?;
    Ok(Json(CategoryView::find(&streams.database, category.id).await?))
}
