//! Chat: what was said, and saying something, by REST, over a WebSocket and with Socket.IO.

mod history;
mod remove;
mod send;
mod socket;
mod socket_io;

pub(crate) use history::history;
pub(crate) use remove::remove;
pub(crate) use send::send;
pub(crate) use socket::{Origins, socket};
pub(crate) use socket_io::socket_io;
