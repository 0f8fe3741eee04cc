//! Who keeps a room's order, and by which rules. All of it is a channel's, and outlives its broadcasts.
//!
//! * `place` – who somebody is in a room, and on whom they may act
//! * `settings`, `terms`, `links` – what is not said
//! * `rules` – all that a message must pass, as a replica remembers it; `rulebook` – those of all rooms, and how a replica
//!   learns that they have changed
//! * `admission` – whether somebody may say something now
//! * `permission` – requests of moderators and of the streamer
//! * `changes`, `bans`, `roster`, `blocking`, `modes` – what they change, each in one transaction with its line in the log
//! * `modlog` – who did what to whom

mod admission;
mod bans;
mod blocking;
mod changes;
mod links;
mod modes;
mod modlog;
mod permission;
mod place;
mod roster;
mod rulebook;
mod rules;
mod settings;
mod terms;

pub(crate) use admission::{Admitted, admit};
pub(crate) use bans::{BanView, Banning, ban, list as list_bans, sweep as sweep_bans, unban};
pub(crate) use blocking::{NewTerm, TermView, block, list as list_terms, unblock};
pub(crate) use links::has_link;
pub(crate) use modes::{SettingsChange, change as change_settings, settings_of};
pub(crate) use modlog::{Act, ActView, list as list_acts, log, sweep as sweep_acts};
pub(crate) use permission::{Moderator, PersonPath, RoomOwner, TermPath};
pub(crate) use place::{Place, Role};
pub(crate) use roster::{appoint, dismiss, list as list_moderators};
pub(crate) use rulebook::Rulebook;
pub(crate) use rules::Standing;
pub(crate) use settings::Settings;
pub(crate) use terms::{Term, Terms};
