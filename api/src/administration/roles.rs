//! Who is an admin.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Act, Actor, AdminError, record};
use crate::auth::AuthError;
use crate::error::Error;
use crate::people::PeopleError;

/// What somebody is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    let admins = Admins::lock(tx).await?;
    if let Some(actor) = actor.user()
        && !admins.may_act(actor)
    {
        return Err(AuthError::NotAdmin.into());
    }
    let banned = sqlx::query_scalar!(
        r#"select banned_at is not null as "banned!" from users
           where id = $1 and deleted_at is null for no key update"#,
        user
    );
    let banned = banned.fetch_optional(&mut *tx).await?.ok_or(PeopleError::Unknown)?;
    let now = if admins.have(user) { Role::Admin } else { Role::User };
    if now == role {
        return Ok(false);
    }
    match role {
        Role::Admin if banned => return Err(AdminError::IsBanned.into()),
        Role::User if actor.user() == Some(user) => return Err(PeopleError::Oneself.into()),
        Role::User => admins.without(user)?,
        Role::Admin => {}
    }
    sqlx::query!("update users set role = $2, updated_at = now() where id = $1", user, role.as_str())
        .execute(&mut *tx)
        .await?;
    record(tx, actor, Act::RoleChanged { user, from: now, to: role }).await?;
    Ok(true)
}

/// Before an account is deleted, and before that is locked: somebody must be left who can make others, so the last admin stays.
pub(crate) async fn lock_who_stays(tx: &mut PgConnection, leaving: Uuid) -> Result<(), Error> {
    let admins = Admins::lock(tx).await?;
    if admins.have(leaving) { Ok(admins.without(leaving)?) } else { Ok(()) }
}

/// All of them, locked until the transaction ends.
struct Admins(Vec<Admin>);

struct Admin {
    id: Uuid,
    banned: bool,
}

impl Admins {
    /// Always in one order: two who demote each other, or go at once, do so one after the other, and the second one is no admin
    /// any more, or the last one, when it is their turn.
    async fn lock(tx: &mut PgConnection) -> Result<Self, Error> {
        let admins = sqlx::query_as!(
            Admin,
            r#"select id, banned_at is not null as "banned!" from users where role = 'admin' and deleted_at is null
               order by id for no key update"#
        );
        Ok(Self(admins.fetch_all(tx).await?))
    }

    fn have(&self, user: Uuid) -> bool {
        self.0.iter().any(|admin| admin.id == user)
    }

    fn may_act(&self, user: Uuid) -> bool {
        self.0.iter().any(|admin| admin.id == user && !admin.banned)
    }

    /// Whether there is still one who may act.
    fn without(&self, user: Uuid) -> Result<(), AdminError> {
        let others = self.0.iter().any(|admin| admin.id != user && !admin.banned);
        if others { Ok(()) } else { Err(AdminError::LastAdmin) }
    }
}
