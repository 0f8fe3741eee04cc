//! Why an admin's act is refused.

use thiserror::Error;

/// Why a person stays as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AdminError {
    /// An admin is not banned.
    #[error("this person is an admin; take the role away first")]
    IsAdmin,
    /// Who is banned does not become an admin.
    #[error("this person is banned; end the ban first")]
    IsBanned,
    /// Somebody must be left who can make others.
    #[error("this is the last admin; make somebody else one first")]
    LastAdmin,
}
