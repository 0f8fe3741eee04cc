//! `PUT /api/admin/users/:id/role`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::administration::{self, Actor, PersonForAdmins, Role};
use crate::app::Accounts;
use crate::auth::Admin;
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::people::FormerPerson;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RoleChange)]
pub(crate) struct Wanted {
    #[garde(skip)]
    role: Role,
}

/// Makes somebody an admin, or takes that away: nobody's own.
#[utoipa::path(
    put, path = "/api/admin/users/{id}/role", security(("admin" = [])),
    params(FormerPerson), request_body = Wanted,
    responses(
        (status = 200, body = PersonForAdmins),
        (status = 404, description = "not_found"),
        (status = 409, description = "is_banned, last_admin"),
        (status = 422, description = "oneself"),
    ),
)]
pub(crate) async fn set_role(
    State(accounts): State<Arc<Accounts>>,
    Admin(admin): Admin,
    client: Client,
    FormerPerson(person): FormerPerson,
    Checked(Wanted { role }): Checked<Wanted>,
) -> Result<Json<PersonForAdmins>, Error> {
    let mut tx = accounts.database.begin().await?;
    administration::set_role(&mut tx, Actor::admin(admin, &client), person, role).await?;
    tx.commit().await?;
    Ok(Json(PersonForAdmins::find(&accounts.database, person).await?))
}
