//! Who somebody is: passwords, tokens, sessions, and extractors that make a permission of a request.

mod access_token;
mod caller;
mod cookie;
mod denylist;
mod password;
mod refresh_token;

pub(crate) use access_token::AccessTokens;
pub(crate) use caller::{Caller, MaybeCaller, bearer};
pub(crate) use cookie::{forget_cookie, refresh_cookie, refresh_from_cookie};
pub(crate) use denylist::{Denylist, denylist};
pub(crate) use password::Passwords;
pub(crate) use refresh_token::{Exchange, Issued, RefreshToken, RefreshTokens, revoke_family};
