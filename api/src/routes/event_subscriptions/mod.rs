//! Webhooks: who is told what, at which address.

mod create;
mod list;
mod remove;
mod show;

pub(crate) use create::create;
pub(crate) use list::list;
pub(crate) use remove::remove;
pub(crate) use show::show;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(create::create, list::list, show::show, remove::remove))]
pub(crate) struct Operations;
