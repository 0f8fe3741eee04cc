//! `PUT /api/admin/users/:id/role`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;

use crate::administration::{self, Actor, PersonForAdmins, Role};
use crate::app::Accounts;
use crate::auth::Admin;
use crate::client::Client;
use crate::error::Error;
use crate::json::Checked;
use crate::people::FormerPerson;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    #[garde(skip)]
    role: Role,
}

/// Makes somebody an admin, or takes that away: nobody's own.
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
