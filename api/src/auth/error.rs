//! Why somebody is not who they say, or no longer welcome.

use thiserror::Error;

/// Why a request is not taken for the person's that it may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AuthError {
    /// Nobody is logged in.
    #[error("log in first")]
    Unauthenticated,
    /// The access token is not ours, or is broken.
    #[error("the access token is not valid; log in again")]
    TokenInvalid,
    /// The access token has run out: refresh.
    #[error("the access token has expired; refresh it")]
    TokenExpired,
    /// Logged out, banned, or the password changed.
    #[error("the session has been ended; log in again")]
    SessionRevoked,
    /// One answer for both mistakes, so that nobody learns which accounts exist.
    #[error("the name or the password is wrong")]
    WrongCredentials,
    /// Right credentials, unwelcome person.
    #[error("this account is banned; ask whoever runs this server")]
    Banned,
    /// Unknown, expired or malformed.
    #[error("the refresh token is not valid; log in again")]
    RefreshInvalid,
    /// A refresh token was used a second time: somebody else has it. All tokens of its family are void.
    #[error("the refresh token was used before, so its session has been ended; log in again")]
    RefreshReused,
    /// For acts that ask once more.
    #[error("the password is wrong")]
    WrongPassword,
    /// Where there is no mail server, no link can be sent.
    #[error("this server sends no mail; ask whoever runs it")]
    NoMail,
    /// For whoever runs this server.
    #[error("this is for admins")]
    NotAdmin,
}
