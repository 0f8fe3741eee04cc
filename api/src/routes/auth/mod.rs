//! Accounts, sessions and stream keys.

mod login;
mod logout;
mod refresh;
mod register;
mod rotate_stream_key;
mod stream_key;
mod tokens;

pub(crate) use login::login;
pub(crate) use logout::logout;
pub(crate) use refresh::refresh;
pub(crate) use register::register;
pub(crate) use rotate_stream_key::rotate_stream_key;
pub(crate) use stream_key::stream_key;

use tokens::Tokens;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    register::register,
    login::login,
    refresh::refresh,
    logout::logout,
    stream_key::stream_key,
    rotate_stream_key::rotate_stream_key,
))]
pub(crate) struct Operations;
