//! Categories: everybody finds streams by them, admins keep them.

mod create;
mod edit;
mod icon;
mod list;
mod remove;
mod show;
mod streams;

pub(crate) use create::create;
pub(crate) use edit::edit;
pub(crate) use icon::{remove_icon, set_icon};
pub(crate) use list::list;
pub(crate) use remove::remove;
pub(crate) use show::show;
pub(crate) use streams::streams;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    list::list,
    create::create,
    show::show,
    edit::edit,
    remove::remove,
    icon::set_icon,
    icon::remove_icon,
    streams::streams,
))]
pub(crate) struct Operations;
