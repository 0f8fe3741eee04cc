//! Why somebody cannot register, or cannot be invited.

use thiserror::Error;

use super::invitation::MOST_INVITATIONS;

/// Why no account was opened, or no invitation made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum RegistrationError {
    /// Nobody may.
    #[error("nobody can open an account here just now")]
    Closed,
    /// None came along where one is needed, or it is unknown, expired or used up: one answer, so that nobody learns which
    /// invitations there were.
    #[error("opening an account takes an invitation that is valid and not used up; ask for another one")]
    InvitationInvalid,
    /// As many as there may be.
    #[error("{MOST_INVITATIONS} invitations are the most; remove some first")]
    TooManyInvitations,
}
