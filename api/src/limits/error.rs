//! Why a request had to be turned away that was all right in itself.

use std::time::Duration;

use thiserror::Error;

use super::whole_seconds;
use crate::error::RETRY_SECONDS;

/// More than there is room or time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum LimitError {
    /// Too often.
    #[error("too many requests; wait {} s", whole_seconds(*.0))]
    RateLimited(Duration),
    /// More work than the machine can do just now.
    #[error("too many people are logging in just now; try again in {RETRY_SECONDS} s")]
    Overloaded,
    /// More mails than the mail server takes just now.
    #[error("too many mails are being sent just now; try again in {RETRY_SECONDS} s")]
    TooMuchMail,
    /// The answer did not come together in time.
    #[error("the server took too long to answer; try again in {RETRY_SECONDS} s")]
    TimedOut,
    /// More sockets than this server, or this address, may have.
    #[error("too many connections are open; try again in {RETRY_SECONDS} s")]
    TooManySockets,
}
