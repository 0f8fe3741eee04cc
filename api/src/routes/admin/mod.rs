//! For those who run the server; everybody else is `403 forbidden`.

mod audit_log;
mod ban;
mod figures;
mod invitations;
mod registration;
mod role;
mod users;

pub(crate) use audit_log::audit_log;
pub(crate) use ban::{ban, unban};
pub(crate) use figures::figures;
pub(crate) use invitations::{invitations, invite, remove_invitation};
pub(crate) use registration::{registration, set_registration};
pub(crate) use role::set_role;
pub(crate) use users::users;
