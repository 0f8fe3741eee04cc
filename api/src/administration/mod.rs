//! What admins do: to people, and to the platform.
//!
//! * `audit` – what is remembered of it, and for how long
//! * `roles` – who is an admin
//! * `bans` – who may not be here
//! * `person` – people, as admins see them
//! * `command_line` – the same for whoever has the database

mod audit;
mod avatars;
mod bans;
mod command_line;
mod error;
mod person;
mod roles;

pub(crate) use audit::{Act, Actor, AuditFilter, AuditRecord, forget_old_records, record};
pub(crate) use avatars::remove_avatar;
pub(crate) use bans::{ban, unban};
pub use command_line::{WantedRole, set_role_by_name};
pub(crate) use error::AdminError;
pub(crate) use person::{PeopleFilter, PersonForAdmins};
pub(crate) use roles::{Role, lock_who_stays, set_role};
