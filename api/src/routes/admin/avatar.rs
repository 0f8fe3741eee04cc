//! `DELETE /api/admin/users/:id/avatar`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::administration::{self, Actor, PersonForAdmins};
use crate::app::Accounts;
use crate::auth::Admin;
use crate::client::Client;
use crate::error::Error;
use crate::people::FormerPerson;

/// Takes somebody's avatar away.
#[utoipa::path(
    delete, path = "/api/admin/users/{id}/avatar", security(("admin" = [])),
    params(FormerPerson),
    responses(
        (status = 200, body = PersonForAdmins),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn remove_avatar(
    State(accounts): State<Arc<Accounts>>,
    Admin(admin): Admin,
    client: Client,
    FormerPerson(person): FormerPerson,
) -> Result<Json<PersonForAdmins>, Error> {
    let mut tx = accounts.database.begin().await?;
    administration::remove_avatar(&mut tx, Actor::admin(admin, &client), person).await?;
    tx.commit().await?;
    Ok(Json(PersonForAdmins::find(&accounts.database, person).await?))
}
