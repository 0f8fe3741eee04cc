//! Chat: what was said, and saying something, by REST and over a WebSocket.

mod history;
mod remove;
mod send;
mod socket;

pub(crate) use history::history;
pub(crate) use remove::remove;
pub(crate) use send::send;
pub(crate) use socket::{Origins, socket};

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(history::history, send::send, remove::remove,))]
pub(crate) struct Operations;
