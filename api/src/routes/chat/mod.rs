//! Chat: what was said, and saying something, by REST and over a WebSocket.

mod history;
mod remove;
mod send;
mod socket;

pub(crate) use history::history;
pub(crate) use remove::remove;
pub(crate) use send::send;
pub(crate) use socket::{Origins, socket};
