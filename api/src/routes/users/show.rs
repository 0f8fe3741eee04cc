//! `GET /api/users/:id`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Accounts;
use crate::auth::MaybeCaller;
use crate::error::Error;
use crate::people::{KnownPerson, Profile};

/// Somebody, as everybody may see them.
#[utoipa::path(
    get, path = "/api/users/{id}", security((), ("user" = [])),
    params(KnownPerson),
    responses(
        (status = 200, body = Profile),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn show(
    State(accounts): State<Arc<Accounts>>,
    MaybeCaller(viewer): MaybeCaller,
    person: KnownPerson,
) -> Result<Json<Profile>, Error> {
    Ok(Json(Profile::of(&accounts.database, person, viewer).await?))
}
