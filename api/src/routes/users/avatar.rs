//! `PUT /api/users/me/avatar` and `DELETE /api/users/me/avatar`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::account::Account;
use crate::app::{Accounts, Entrance};
use crate::auth::{AuthError, Caller};
use crate::error::Error;
use crate::pictures::{self, PictureFile, PictureKind, Pictures, Upload};
use crate::stream::Owner;

/// Shows the caller by a picture, of which the middle is kept: 256 pixels square, without what the file says of camera and place.
#[utoipa::path(
    put, path = "/api/users/me/avatar", security(("user" = [])),
    request_body(content(
        (PictureFile = "image/jpeg"),
        (PictureFile = "image/png"),
        (PictureFile = "image/webp"),
    )),
    responses(
        (status = 200, body = Account),
        (status = 409, description = "no_storage"),
        (status = 422, description = "picture_unreadable, too_many_pixels"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn set_avatar(
    State(entrance): State<Arc<Entrance>>,
    State(accounts): State<Arc<Accounts>>,
    State(pictures): State<Arc<Pictures>>,
    Caller { user, .. }: Caller,
    upload: Upload,
) -> Result<Json<Account>, Error> {
    let kept = pictures.keep(&entrance, user, upload, PictureKind::Avatar, user, Some(user)).await?;
    let mut tx = accounts.database.begin().await?;
    // The account may have been deleted while its picture was on its way.
    Owner::lock(&mut tx, user).await?.ok_or(AuthError::SessionRevoked)?;
    sqlx::query!("update users set avatar_url = $2, updated_at = now() where id = $1", user, kept.address())
        .execute(&mut *tx)
        .await?;
    kept.show(&mut tx).await?;
    tx.commit().await?;
    let account = Account::find(&accounts.database, user).await?;
    Ok(Json(account.ok_or(AuthError::SessionRevoked)?))
}

/// Takes the caller's picture away.
#[utoipa::path(
    delete, path = "/api/users/me/avatar", security(("user" = [])),
    responses((status = 204)),
)]
pub(crate) async fn remove_avatar(
    State(accounts): State<Arc<Accounts>>,
    Caller { user, .. }: Caller,
) -> Result<StatusCode, Error> {
    let mut tx = accounts.database.begin().await?;
    Owner::lock(&mut tx, user).await?.ok_or(AuthError::SessionRevoked)?;
    sqlx::query!("update users set avatar_url = null, updated_at = now() where id = $1", user)
        .execute(&mut *tx)
        .await?;
    pictures::hide(&mut *tx, PictureKind::Avatar, user).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
