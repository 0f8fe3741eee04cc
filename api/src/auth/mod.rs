//! Who somebody is: passwords, tokens, sessions, and extractors that make a permission of a request.

mod access_token;
mod caller;
mod cookie;
mod error;
mod password;
mod refresh_token;
mod session;

pub(crate) use access_token::AccessTokens;
pub(crate) use caller::{Admin, Caller, MaybeCaller, bearer};
pub(crate) use cookie::{forget_cookie, refresh_cookie, refresh_from_cookie};
pub(crate) use error::AuthError;
pub(crate) use password::Passwords;
pub(crate) use refresh_token::RefreshToken;
pub(crate) use session::{Issued, Sessions, end_session, forget_old_sessions, was_here};
