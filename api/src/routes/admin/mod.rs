//! For those who run the server; everybody else is `403 forbidden`.

mod audit_log;
mod avatar;
mod ban;
mod dead_letters;
mod figures;
mod invitations;
mod registration;
mod retry;
mod role;
mod users;

pub(crate) use audit_log::audit_log;
pub(crate) use avatar::remove_avatar;
pub(crate) use ban::{ban, unban};
pub(crate) use dead_letters::dead_letters;
pub(crate) use figures::figures;
pub(crate) use invitations::{invitations, invite, remove_invitation};
pub(crate) use registration::{registration, set_registration};
pub(crate) use retry::retry;
pub(crate) use role::set_role;
pub(crate) use users::users;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    users::users,
    ban::ban,
    ban::unban,
    avatar::remove_avatar,
    role::set_role,
    registration::registration,
    registration::set_registration,
    invitations::invitations,
    invitations::invite,
    invitations::remove_invitation,
    audit_log::audit_log,
    figures::figures,
    dead_letters::dead_letters,
    retry::retry,
))]
pub(crate) struct Operations;
