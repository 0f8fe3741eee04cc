//! Why a session ends.

use std::fmt;

/// Why a session ends. Displays as words for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The broadcast is over: `EXT-X-ENDLIST`.
    Finish,
    /// The publisher goes on at another worker.
    HandedOver,
    /// The worker was told to go, and nobody publishes.
    NobodyPublishes,
    /// The worker was told to go, and told to end before another worker had the stream.
    GraceOver,
    /// The worker was told to end at once, or may write no more.
    ToldToEnd,
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finish => "the broadcast is over",
            Self::HandedOver => "the next worker has the publisher",
            Self::NobodyPublishes => "it was told to go, and nobody publishes",
            Self::GraceOver => {
                "it was told to go, and its grace is over before another worker had the stream"
            }
            Self::ToldToEnd => "it was told to end, or another worker has the stream",
        })
    }
}
