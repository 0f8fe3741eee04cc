//! Who somebody is: passwords, tokens, sessions, and extractors that make a permission of a request.

mod access_token;
mod caller;
mod confirmation;
mod cookie;
pub(crate) mod email_verification;
mod error;
pub(crate) mod one_time_token;
mod own_sessions;
mod password;
pub(crate) mod password_reset;
mod refresh_token;
mod session;

pub(crate) use access_token::AccessTokens;
pub(crate) use caller::{Admin, Caller, MaybeCaller, bearer};
pub(crate) use confirmation::Confirmed;
pub(crate) use cookie::{forget_cookie, refresh_cookie, refresh_from_cookie};
pub(crate) use error::AuthError;
pub(crate) use own_sessions::{OwnSession, end_own_session, end_sessions};
pub(crate) use password::{Passwords, is_password};
pub(crate) use refresh_token::RefreshToken;
pub(crate) use session::{Issued, Sessions, end_session, forget_old_sessions, was_here};
