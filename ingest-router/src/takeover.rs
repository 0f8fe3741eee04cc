//! Whether a second publisher on a live key may have it.

use std::time::Duration;

use caudal_livestream::admission::SecondPublisher;
use caudal_livestream::feed::InputState;

/// What a judge (the worker, or the router that holds the first publisher) says of the first publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Testimony {
    /// It is not there, or nobody answers for it.
    Absent,
    /// It is connected and has sent no media yet.
    Connected,
    /// Its last media is so old.
    LastMedia(Duration),
}

/// What becomes of the second publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is the publisher from now on.
    TakeOver,
    /// The first one is alive.
    Refuse,
    /// Too early to say: hold it and ask again after this.
    AskAgain(Duration),
}

impl From<&InputState> for Testimony {
    fn from(input: &InputState) -> Self {
        match input.silent_ms {
            _ if !input.up => Self::Absent,
            None => Self::Connected,
            Some(silent) => Self::LastMedia(Duration::from_millis(silent)),
        }
    }
}

/// The judgement on a second publisher that had been held for `held` when the testimony was asked for.
///
/// Media in the last [`ALIVE`] means that the first one is alive, but an encoder that comes back after a network change
/// is faster than that: so it is held until media arrived after it knocked, or until the silence is long enough.
pub(crate) fn judge(policy: SecondPublisher, testimony: Testimony, held: Duration) -> Judgement {
    let silence = match testimony {
        Testimony::Absent => return Judgement::TakeOver,
        Testimony::LastMedia(ago) => ago,
        // It sent nothing for as long as anybody has looked.
        Testimony::Connected => held,
    };
    if policy == SecondPublisher::Takeover || silence >= ALIVE {
        return Judgement::TakeOver;
    }
    let spoke_meanwhile = silence + MEASURING < held;
    if spoke_meanwhile || held >= HOLD {
        return Judgement::Refuse;
    }
    Judgement::AskAgain((ALIVE.saturating_sub(silence)).min(ASK_EVERY))
}

/// A publisher that sent media in this time is alive (ARCHITECTURE §3.2).
const ALIVE: Duration = Duration::from_secs(2);
/// The longest that a second publisher is held.
pub(crate) const HOLD: Duration = Duration::from_secs(3);
/// Between two clocks, over a busy network, so much of a silence may be measuring.
const MEASURING: Duration = Duration::from_millis(250);
/// A live publisher sends audio or video many times in this.
const ASK_EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_second_publisher_wins_when_the_first_is_silent() {
        use Judgement::{AskAgain, Refuse, TakeOver};
        use SecondPublisher::{Reject, Takeover};
        use Testimony::{Absent, Connected, LastMedia};
        for (case, policy, testimony, held, judgement) in [
            ("nobody is there", Reject, Absent, ms(0), TakeOver),
            ("silent for two seconds", Reject, LastMedia(ms(2000)), ms(0), TakeOver),
            ("media just now, first look", Reject, LastMedia(ms(30)), ms(0), AskAgain(ms(500))),
            ("media since it knocked", Reject, LastMedia(ms(30)), ms(500), Refuse),
            ("perhaps since it knocked", Reject, LastMedia(ms(300)), ms(500), AskAgain(ms(500))),
            ("no media since it knocked", Reject, LastMedia(ms(1200)), ms(700), AskAgain(ms(500))),
            ("almost two seconds", Reject, LastMedia(ms(1900)), ms(1000), AskAgain(ms(100))),
            ("two seconds while it was held", Reject, LastMedia(ms(2001)), ms(1100), TakeOver),
            (
                "its own last media arrived with the knock",
                Reject,
                LastMedia(ms(500)),
                ms(500),
                AskAgain(ms(500)),
            ),
            ("connected a moment ago", Reject, Connected, ms(0), AskAgain(ms(500))),
            ("connected and mute", Reject, Connected, ms(2000), TakeOver),
            ("alive, but the newcomer is to win", Takeover, LastMedia(ms(10)), ms(0), TakeOver),
            ("held long enough", Reject, LastMedia(ms(1000)), HOLD, Refuse),
        ] {
            assert_eq!(judge(policy, testimony, held), judgement, "{case}");
        }
    }

    #[test]
    fn a_hold_ends_whatever_is_said() {
        for silence in 0..3000 {
            let judgement = judge(SecondPublisher::Reject, Testimony::LastMedia(ms(silence)), HOLD);
            assert!(!matches!(judgement, Judgement::AskAgain(_)), "{silence} ms");
        }
        assert_eq!(judge(SecondPublisher::Reject, Testimony::Connected, HOLD), Judgement::TakeOver);
    }

    #[test]
    fn a_judge_is_understood() {
        let input = |up, silent_ms| InputState { up, silent_ms, ..InputState::default() };
        assert_eq!(Testimony::from(&input(false, Some(1))), Testimony::Absent);
        assert_eq!(Testimony::from(&input(true, None)), Testimony::Connected);
        assert_eq!(Testimony::from(&input(true, Some(7))), Testimony::LastMedia(ms(7)));
    }
}
