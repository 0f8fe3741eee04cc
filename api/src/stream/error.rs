//! Why a stream is not shown, prepared or changed.

use thiserror::Error;

/// Why a request about a stream did not get what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum StreamError {
    /// It is over.
    #[error("the stream has ended")]
    Ended,
    /// There is none of this id.
    #[error("the stream does not exist")]
    Unknown,
    /// Somebody else's.
    #[error("this is not yours")]
    NotYours,
    /// The caller neither prepared a stream nor is live.
    #[error("you have no open stream; prepare one, or start streaming")]
    NoneOpen,
    /// A person has one broadcast at a time.
    #[error("a stream is open already; end it first")]
    OneOpen,
    /// Changed since it was read.
    #[error("it was changed meanwhile; read it again")]
    Changed,
}
