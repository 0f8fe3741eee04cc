//! `GET /api/admin/registration` and `PATCH /api/admin/registration`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;

use crate::administration::Actor;
use crate::app::Accounts;
use crate::auth::Admin;
use crate::client::Client;
use crate::error::Error;
use crate::json::{Checked, Patch};
use crate::registration::{self, RegistrationMode, Standing};

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Changes {
    /// Null leaves it to the setting again.
    #[serde(default)]
    #[garde(skip)]
    mode: Patch<RegistrationMode>,
}

/// Who may open an account, and who says so.
pub(crate) async fn registration(
    State(accounts): State<Arc<Accounts>>,
    _: Admin,
) -> Result<Json<Standing>, Error> {
    Ok(Json(Standing::find(&accounts.database, accounts.registration).await?))
}

/// Changes it, on all replicas from the next registration on.
pub(crate) async fn set_registration(
    State(accounts): State<Arc<Accounts>>,
    Admin(admin): Admin,
    client: Client,
    Checked(changes): Checked<Changes>,
) -> Result<Json<Standing>, Error> {
    if changes.mode.is_change() {
        let mut tx = accounts.database.begin().await?;
        let (actor, setting) = (Actor::admin(admin, &client), accounts.registration);
        registration::set(&mut tx, actor, setting, changes.mode.value().copied()).await?;
        tx.commit().await?;
    }
    Ok(Json(Standing::find(&accounts.database, accounts.registration).await?))
}
