//! `PATCH /api/users/me`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::Account;
use crate::app::Accounts;
use crate::auth::{AuthError, Caller};
use crate::error::Error;
use crate::input::{FieldError, InputError};
use crate::json::{Checked, Patch};
use crate::names::NormalName;
use crate::text::{Bio, DisplayName};
use crate::username::Skeleton;

/// What is absent stays as it is; null takes it away.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AccountChanges)]
pub(crate) struct Changes {
    #[serde(default)]
    #[garde(dive)]
    #[schema(value_type = Option<DisplayName>)]
    display_name: Patch<DisplayName>,
    #[serde(default)]
    #[garde(dive)]
    #[schema(value_type = Option<Bio>)]
    bio: Patch<Bio>,
}

/// Changes how the caller is shown.
#[utoipa::path(
    patch, path = "/api/users/me", security(("user" = [])),
    request_body = Changes,
    responses((status = 200, body = Account), (status = 409, description = "taken")),
)]
pub(crate) async fn edit(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    Checked(changes): Checked<Changes>,
) -> Result<Json<Account>, Error> {
    let Changes { display_name, bio } = &changes;
    let name = display_name.value().map(DisplayName::as_str);
    if let Some(name) = name {
        passes_for_nobody(&accounts.database, caller.user, name).await?;
    }
    let normal = name.map(NormalName::of);
    sqlx::query!(
        r#"update users
           set display_name = case when $2 then $3 else display_name end,
               display_name_normal = case when $2 then $4 else display_name_normal end,
               bio = case when $5 then $6 else bio end,
               updated_at = now()
           where id = $1 and deleted_at is null"#,
        caller.user,
        display_name.is_change(),
        name,
        normal.as_ref().map(NormalName::as_str),
        bio.is_change(),
        // An empty one is none.
        bio.value().map(Bio::as_str).filter(|bio| !bio.is_empty())
    )
    .execute(&accounts.database)
    .await?;
    let account = Account::find(&accounts.database, caller.user).await?;
    Ok(Json(account.ok_or(AuthError::SessionRevoked)?))
}

/// Refuses a name that stands where a username would, and looks like another person's or the platform's.
async fn passes_for_nobody(database: &PgPool, user: Uuid, name: &str) -> Result<(), Error> {
    let skeleton = Skeleton::of_display_name(name);
    let anothers = sqlx::query_scalar!(
        r#"select exists (select from users where username_skeleton = $2 and id <> $1) as "anothers!""#,
        user,
        skeleton.as_str()
    );
    if skeleton.is_reserved() || anothers.fetch_one(database).await? {
        let words =
            "this looks like another person's username; choose a name that nobody mistakes for theirs";
        return Err(InputError::Taken(FieldError::new("/displayName", "taken", words)).into());
    }
    Ok(())
}
