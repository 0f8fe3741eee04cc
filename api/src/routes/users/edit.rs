//! `PATCH /api/users/me`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;

use crate::account::Account;
use crate::app::Accounts;
use crate::auth::{AuthError, Caller};
use crate::error::Error;
use crate::json::{Checked, Patch};
use crate::names::NormalName;
use crate::text::{Bio, DisplayName};

/// What is absent stays as it is; null takes it away.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Changes {
    #[serde(default)]
    #[garde(dive)]
    display_name: Patch<DisplayName>,
    #[serde(default)]
    #[garde(dive)]
    bio: Patch<Bio>,
}

/// Changes how the caller is shown.
pub(crate) async fn edit(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    Checked(changes): Checked<Changes>,
) -> Result<Json<Account>, Error> {
    let (name, bio) = (changes.display_name.value(), changes.bio.value());
    let name = name.map(|name| name.map(DisplayName::as_str));
    let normal = name.flatten().map(NormalName::of);
    let bio = bio.map(|bio| bio.map(Bio::as_str));
    sqlx::query!(
        r#"update users
           set display_name = case when $2 then $3 else display_name end,
               display_name_normal = case when $2 then $4 else display_name_normal end,
               bio = case when $5 then $6 else bio end,
               updated_at = now()
           where id = $1 and deleted_at is null"#,
        caller.user,
        name.is_some(),
        name.flatten(),
        normal.as_ref().map(NormalName::as_str),
        bio.is_some(),
        // An empty one is none.
        bio.flatten().filter(|bio| !bio.is_empty())
    )
    .execute(&accounts.database)
    .await?;
    let account = Account::find(&accounts.database, caller.user).await?;
    Ok(Json(account.ok_or(AuthError::SessionRevoked)?))
}
