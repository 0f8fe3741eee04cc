//! Who is an admin.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Act, Actor, AdminError, record};
use crate::auth::AuthError;
use crate::error::Error;
use crate::people::PeopleError;

/// What somebody is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    User,
    Admin,
}

impl Role {
    /// As `users.role` has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// Makes somebody an admin, or takes that away. Whether anything changed.
pub(crate) async fn set_role(
    tx: &mut PgConnection,
    actor: Actor,
    user: Uuid,
    role: Role,
) -> Result<bool, Error> {
    // All admins, always in one order: two of them who demote each other go one after the other, and the second one is no
    // admin any more when it is their turn.
    let admins = sqlx::query!(
        r#"select id, banned_at is not null as "banned!" from users where role = 'admin' and deleted_at is null
           order by id for no key update"#
    )
    .fetch_all(&mut *tx)
    .await?;
    if let Some(actor) = actor.user()
        && !admins.iter().any(|admin| admin.id == actor && !admin.banned)
    {
        return Err(AuthError::NotAdmin.into());
    }
    let banned = sqlx::query_scalar!(
        r#"select banned_at is not null as "banned!" from users
           where id = $1 and deleted_at is null for no key update"#,
        user
    );
    let banned = banned.fetch_optional(&mut *tx).await?.ok_or(PeopleError::Unknown)?;
    let now = if admins.iter().any(|admin| admin.id == user) { Role::Admin } else { Role::User };
    if now == role {
        return Ok(false);
    }
    match role {
        Role::Admin if banned => return Err(AdminError::IsBanned.into()),
        Role::User if actor.user() == Some(user) => return Err(PeopleError::Oneself.into()),
        Role::User if !admins.iter().any(|admin| admin.id != user && !admin.banned) => {
            return Err(AdminError::LastAdmin.into());
        }
        Role::Admin | Role::User => {}
    }
    sqlx::query!("update users set role = $2, updated_at = now() where id = $1", user, role.as_str())
        .execute(&mut *tx)
        .await?;
    record(tx, actor, Act::RoleChanged { user, from: now, to: role }).await?;
    Ok(true)
}
