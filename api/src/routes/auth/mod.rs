//! Accounts, sessions, passwords and stream keys.

mod change_password;
mod forgot_password;
mod login;
mod logout;
mod refresh;
mod register;
mod reset_password;
mod rotate_stream_key;
mod sessions;
mod stream_key;
mod tokens;
mod verify_email;

pub(crate) use change_password::change_password;
pub(crate) use forgot_password::forgot_password;
pub(crate) use login::login;
pub(crate) use logout::logout;
pub(crate) use refresh::refresh;
pub(crate) use register::register;
pub(crate) use reset_password::reset_password;
pub(crate) use rotate_stream_key::rotate_stream_key;
pub(crate) use sessions::{end_other_sessions, end_session, sessions};
pub(crate) use stream_key::stream_key;
pub(crate) use verify_email::{send_verification, verify_email};

use tokens::Tokens;
