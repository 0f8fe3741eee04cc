//! Why a session ends.

use std::fmt;

use caudal_livestream::feed::InputState;

/// Why a session ends. Displays as words for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The broadcast is over: `EXT-X-ENDLIST`.
    Finish,
    /// The publisher goes on at another worker.
    HandedOver,
    /// The worker was told to go, and nobody publishes.
    NobodyPublishes,
    /// The worker was told to go, and then to end before it had handed over: its grace is over, or its supervisor tells it
    /// both at once.
    NotHandedOver,
    /// The worker was told to end at once, or may write no more.
    ToldToEnd,
}

impl Closing {
    /// Why a worker that was told to go ends by itself, if it does. A publisher that was handed over is on its way to
    /// another worker, and the word of that may yet wait behind its last media.
    pub(crate) fn of_leaving(input: &InputState) -> Option<Self> {
        (!input.up && !input.moved).then_some(Self::NobodyPublishes)
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finish => "the broadcast is over",
            Self::HandedOver => "the next worker has the publisher",
            Self::NobodyPublishes => "it was told to go, and nobody publishes",
            Self::NotHandedOver => "it was told to go, and then to end before it had handed over",
            Self::ToldToEnd => "it was told to end, or another worker has the stream",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_told_to_go_ends_by_itself_only_when_nobody_publishes_anywhere() {
        let input = |up, moved| InputState { up, moved, ..InputState::default() };
        assert_eq!(Closing::of_leaving(&input(true, false)), None);
        assert_eq!(Closing::of_leaving(&input(false, false)), Some(Closing::NobodyPublishes));
        assert_eq!(Closing::of_leaving(&input(false, true)), None, "it hands over");
    }
}
