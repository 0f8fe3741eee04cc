//! Why somebody gets no event subscription.

use thiserror::Error;

/// Why a request about event subscriptions did not get what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum EventSubscriptionError {
    /// As many as one person may have.
    #[error("{MOST_SUBSCRIPTIONS} event subscriptions are the most; remove one first")]
    TooMany,
}

/// Of one person, whatever became of them: each is a server that is asked.
pub(crate) const MOST_SUBSCRIPTIONS: i64 = 25;
