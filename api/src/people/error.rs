//! Why somebody is not shown, followed or blocked.

use thiserror::Error;

/// Why a request about a person did not get what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PeopleError {
    /// There is nobody of this id or name, or not any more.
    #[error("there is no such person")]
    Unknown,
    /// Nobody follows or blocks themselves.
    #[error("this is yourself")]
    Oneself,
    /// One of the two has blocked the other.
    #[error("you cannot follow this person")]
    Blocked,
    /// As many as one person may follow, or block.
    #[error("{MOST_RELATIONS} people are the most; remove some first")]
    TooMany,
    /// The list is for the person whom it is about.
    #[error("only this person may see that")]
    NotYou,
}

/// People that one person follows, or blocks, at most: more than anybody reads, and an end to the rows that one account
/// can make.
pub(crate) const MOST_RELATIONS: i64 = 5_000;
