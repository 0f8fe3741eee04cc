//! People: their channels, whom they follow, and whom they do not want to see.

mod avatar;
mod block;
mod blocks;
mod delete;
mod edit;
mod follow;
mod followers;
mod following;
mod following_live;
mod me;
mod show;
mod streams;

pub(crate) use avatar::{remove_avatar, set_avatar};
pub(crate) use block::{block, unblock};
pub(crate) use blocks::blocks;
pub(crate) use delete::delete;
pub(crate) use edit::edit;
pub(crate) use follow::{follow, unfollow};
pub(crate) use followers::followers;
pub(crate) use following::following;
pub(crate) use following_live::following_live;
pub(crate) use me::me;
pub(crate) use show::show;
pub(crate) use streams::streams;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    me::me,
    edit::edit,
    delete::delete,
    avatar::set_avatar,
    avatar::remove_avatar,
    following_live::following_live,
    blocks::blocks,
    block::block,
    block::unblock,
    show::show,
    streams::streams,
    follow::follow,
    follow::unfollow,
    followers::followers,
    following::following,
))]
pub(crate) struct Operations;
