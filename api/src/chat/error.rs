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
    /// More than [`super::speak::LONGEST_NAME`] bytes.
    #[error("clientMsgId has {} bytes at most", super::speak::LONGEST_NAME)]
    NameTooLong,
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
    /// For good, in this channel.
    #[error("you are banned from this chat")]
    BannedHere,
    /// For a while, in this channel.
    #[error("you may not talk here just now; wait {} s", whole_seconds(*.0))]
    TimedOut(Duration),
    /// Too soon for this channel.
    #[error("this chat is slow; wait {} s", whole_seconds(*.0))]
    Slow(Duration),
    /// Not a follower for so many minutes.
    #[error("{}", words_for_followers(*.0))]
    FollowersOnly(i32),
    /// Not a subscriber.
    #[error("only subscribers may talk here")]
    SubsOnly,
    /// More than emotes.
    #[error("only emotes may be said here")]
    EmotesOnly,
    /// Somebody has said that a while ago.
    #[error("somebody has said that already; find other words")]
    NotUnique,
    /// The channel does not want to read it.
    #[error("this message has words that are blocked here")]
    BlockedTerm,
    /// The channel wants no links.
    #[error("links are blocked here")]
    LinksBlocked,
    /// Somebody else's message.
    #[error("only its author and moderators may remove a message, and moderators not each other's")]
    NotYours,
    /// For who keeps order in the room.
    #[error("this is for the streamer and moderators")]
    NotModerator,
    /// For whoever streams.
    #[error("this is for the streamer")]
    NotRoomOwner,
    /// An equal, or above.
    #[error("you cannot moderate this person")]
    Protected,
    /// There is no such term in this channel.
    #[error("this term is not blocked")]
    UnknownTerm,
    /// As many as a channel may have.
    #[error("{1} {0} are the most; remove some first")]
    TooMany(&'static str, i64),
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
            Self::UnknownStream | Self::UnknownMessage | Self::UnknownTerm => "not_found",
            Self::Ended => "ended",
            Self::Empty => "too_short",
            Self::TooLong | Self::NameTooLong => "too_long",
            Self::Treacherous => "invalid",
            Self::TooFast(_) => "too_fast",
            Self::RoomBusy(_) => "room_busy",
            Self::Repeated => "repeated",
            Self::BannedHere => "banned_here",
            Self::TimedOut(_) => "timed_out",
            Self::Slow(_) => "slow",
            Self::FollowersOnly(_) => "followers_only",
            Self::SubsOnly => "subs_only",
            Self::EmotesOnly => "emotes_only",
            Self::NotUnique => "not_unique",
            Self::BlockedTerm => "blocked_term",
            Self::LinksBlocked => "links_blocked",
            Self::NotYours | Self::NotModerator | Self::NotRoomOwner | Self::Protected => "forbidden",
            Self::TooMany(..) => "too_many",
            Self::Full => "overloaded",
            Self::Unavailable => "unavailable",
        }
    }

    /// When to try again, where waiting helps.
    pub(crate) fn retry_after(self) -> Option<Duration> {
        match self {
            Self::TooFast(wait) | Self::RoomBusy(wait) | Self::TimedOut(wait) | Self::Slow(wait) => {
                Some(wait)
            }
            Self::Unavailable | Self::Full => Some(Duration::from_secs(RETRY_SECONDS)),
            _ => None,
        }
    }
}

fn words_for_followers(minutes: i32) -> String {
    if minutes == 0 {
        return "only followers may talk here".to_owned();
    }
    format!("only who has followed this channel for {minutes} min may talk here")
}
