//! For those who run the server; everybody else is `403 forbidden`.

mod audit_log;
mod ban;
mod dead_letters;
mod figures;
mod invitations;
mod registration;
mod retry;
mod role;
mod users;

pub(crate) use audit_log::audit_log;
pub(crate) use ban::{ban, unban};
pub(crate) use dead_letters::dead_letters;
pub(crate) use figures::figures;
pub(crate) use invitations::{invitations, invite, remove_invitation};
pub(crate) use registration::{registration, set_registration};
pub(crate) use retry::retry;
pub(crate) use role::set_role;
pub(crate) use users::users;
