//! Who may open an account: everybody, whoever has an invitation, or nobody.
//!
//! * `mode` – which of them holds: as an admin has said, else as the setting says
//! * `invitation` – made by admins, shown once, good for some registrations

mod error;
mod invitation;
mod mode;

pub(crate) use error::RegistrationError;
pub(crate) use invitation::{
    Invitation, InvitationToken, NewInvitation, check, forget_expired, redeem, remove,
};
pub use mode::RegistrationMode;
pub(crate) use mode::{Standing, in_force, set};
