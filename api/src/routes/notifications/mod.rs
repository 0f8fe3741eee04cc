//! What the caller is told: read, marked, chosen, and heard over a WebSocket.

mod list;
mod mark;
mod mark_all;
mod preferences;
mod socket;
mod unread;

pub(crate) use list::list;
pub(crate) use mark::mark;
pub(crate) use mark_all::mark_all;
pub(crate) use preferences::{preferences, set_preferences};
pub(crate) use socket::socket;
pub(crate) use unread::unread;
