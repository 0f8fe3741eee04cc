//! Why somebody is not heard.

use std::time::Duration;

use thiserror::Error;

use crate::error::RETRY_SECONDS;
use crate::limits::whole_seconds;

/// Why a request of a room did not get what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum ChatError {
    /// There is no such stream.
    #[error("the stream does not exist")]
    UnknownStream,
    /// There is no such message in this room.
    #[error("the message does not exist")]
    UnknownMessage,
    /// The broadcast is over for good.
    #[error("the stream has ended, and its chat with it")]
    Ended,
    /// Nothing that can be seen.
    #[error("say something")]
    Empty,
    /// More than [`super::text::LONGEST`] characters.
    #[error("a message has {} characters at most", super::text::LONGEST)]
    TooLong,
    /// Characters that nobody types, or that turn other people's words around.
    #[error("this message has characters that cannot be used here")]
    Treacherous,
    /// Too much at once, by one person.
    #[error("not so fast; wait {} s", whole_seconds(*.0))]
    TooFast(Duration),
    /// Too much at once, by everybody.
    #[error("everybody is talking at once; wait {} s", whole_seconds(*.0))]
    RoomBusy(Duration),
    /// The same words as a moment ago.
    #[error("you have just said that")]
    Repeated,
    /// Somebody else's message.
    #[error("only its author and the streamer may remove a message")]
    NotYours,
    /// More rooms are open here than there is room for.
    #[error("too many rooms are open on this server; try again in {RETRY_SECONDS} s")]
    Full,
    /// PostgreSQL or Redis is away.
    #[error("chat is not available just now; try again in {RETRY_SECONDS} s")]
    Unavailable,
}

impl ChatError {
    /// For programs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::UnknownStream | Self::UnknownMessage => "not_found",
            Self::Ended => "ended",
            Self::Empty => "too_short",
            Self::TooLong => "too_long",
            Self::Treacherous => "invalid",
            Self::TooFast(_) => "too_fast",
            Self::RoomBusy(_) => "room_busy",
            Self::Repeated => "repeated",
            Self::NotYours => "forbidden",
            Self::Full => "overloaded",
            Self::Unavailable => "unavailable",
        }
    }

    /// When to try again, where waiting helps.
    pub(crate) fn retry_after(self) -> Option<Duration> {
        match self {
            Self::TooFast(wait) | Self::RoomBusy(wait) => Some(wait),
            Self::Unavailable | Self::Full => Some(Duration::from_secs(RETRY_SECONDS)),
            _ => None,
        }
    }
}
