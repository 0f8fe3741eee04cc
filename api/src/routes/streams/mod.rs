//! Streams, for viewers and for their owners.

mod create;
mod edit;
mod end;
mod failed;
mod health;
mod list;
mod mine;
mod open;
mod show;
mod thumbnail;
mod watching;

pub(crate) use create::create;
pub(crate) use edit::edit;
pub(crate) use end::end;
pub(crate) use failed::failed;
pub(crate) use health::health;
pub(crate) use list::list;
pub(crate) use mine::mine;
pub(crate) use open::open;
pub(crate) use show::show;
pub(crate) use thumbnail::{remove_thumbnail, set_thumbnail};
pub(crate) use watching::watching;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    list::list,
    create::create,
    mine::mine,
    open::open,
    failed::failed,
    show::show,
    edit::edit,
    end::end,
    thumbnail::set_thumbnail,
    thumbnail::remove_thumbnail,
    health::health,
    watching::watching,
))]
pub(crate) struct Operations;
