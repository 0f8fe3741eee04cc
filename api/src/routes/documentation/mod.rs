//! What the api says of itself: to programs, and to people.

mod openapi;
mod page;

pub(crate) use openapi::openapi;
pub(crate) use page::page;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(openapi::openapi, page::page))]
pub(crate) struct Operations;
