//! Chat: what was said, and saying something, by REST, over a WebSocket and with Socket.IO; and keeping order there.

mod appoint;
mod ban;
mod bans;
mod block;
mod change_settings;
mod history;
mod moderators;
mod modlog;
mod remove;
mod send;
mod settings;
mod socket;
mod socket_io;
mod terms;

pub(crate) use appoint::{appoint, dismiss};
pub(crate) use ban::{ban, unban};
pub(crate) use bans::bans;
pub(crate) use block::{block, unblock};
pub(crate) use change_settings::change_settings;
pub(crate) use history::history;
pub(crate) use moderators::moderators;
pub(crate) use modlog::modlog;
pub(crate) use remove::remove;
pub(crate) use send::send;
pub(crate) use settings::settings;
pub(crate) use socket::{Origins, socket};
pub(crate) use socket_io::socket_io;
pub(crate) use terms::terms;
