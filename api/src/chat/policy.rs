//! How often something may be said. `log/say.lua` has the same for replicas; the same tests pass with both.

use std::time::Duration;

use super::ChatError;
use crate::limits::gcra::{FullAt, Quota};

/// What one person, and everybody together, may say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Of one person.
    pub(crate) burst: u32,
    pub(crate) window: Duration,
    /// Between two messages of one person.
    pub(crate) gap: Duration,
    /// How long the same words of one person are not repeated.
    pub(crate) same: Duration,
    /// Of everybody in a room, in a second.
    pub(crate) room: u32,
}

impl Pace {
    /// 20 in 30 s, with a second between two, is 60 in any minute; 50 a second is more than anybody reads.
    pub(crate) const USUAL: Self = Self {
        burst: 20,
        window: Duration::from_secs(30),
        gap: Duration::from_secs(1),
        same: Duration::from_secs(30),
        room: 50,
    };
}

/// What is remembered of somebody in a room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Talker {
    bucket: FullAt,
    last: Option<Duration>,
    said: Option<(u64, Duration)>,
}

impl Talker {
    /// Whether these words may be said at `now`; counts them if so. `words` is a hash of the text.
    pub(crate) fn may_say(
        &mut self,
        words: u64,
        room: &mut FullAt,
        pace: Pace,
        now: Duration,
    ) -> Result<(), ChatError> {
        if self.said.is_some_and(|(said, at)| said == words && within(at, pace.same, now)) {
            return Err(ChatError::Repeated);
        }
        if let Some(last) = self.last.filter(|last| within(*last, pace.gap, now)) {
            return Err(ChatError::TooFast((last + pace.gap).saturating_sub(now)));
        }
        // The room first, and the person only when the room has let them in: what was not said does not count.
        let mut room_after = *room;
        if let Some(wait) = room_after.count(Quota::new(pace.room, SECOND), now).retry_after {
            // Refused, it has counted nothing, and has come back from where a clock that was ahead had left it.
            *room = room_after;
            return Err(ChatError::RoomBusy(wait));
        }
        if let Some(wait) = self.bucket.count(Quota::new(pace.burst, pace.window), now).retry_after {
            return Err(ChatError::TooFast(wait));
        }
        *room = room_after;
        self.last = Some(now);
        self.said = Some((words, now));
        Ok(())
    }

    /// After what was let in and could not be kept, so that the same words can be tried again at once.
    pub(crate) fn forget_words(&mut self) {
        self.said = None;
        self.last = None;
    }

    /// Whether all of it is as if they had never talked.
    pub(crate) fn is_forgettable(&self, pace: Pace, now: Duration) -> bool {
        let longest = pace.window.max(pace.same).max(pace.gap);
        self.last.is_none_or(|last| !within(last, longest, now))
    }
}

/// Whether `span` since `then` is not over. What lies ahead was stored before the clock was set back, and is over.
fn within(then: Duration, span: Duration, now: Duration) -> bool {
    now.checked_sub(then).is_some_and(|passed| passed < span)
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn at(ms: u64) -> Duration {
        NOW + Duration::from_millis(ms)
    }

    #[test]
    fn one_person_says_twenty_things_in_half_a_minute() {
        let (mut talker, mut room) = (Talker::default(), FullAt::default());
        for n in 0..20 {
            assert_eq!(talker.may_say(n, &mut room, Pace::USUAL, at(n * 1_000)), Ok(()), "{n}");
            let again = talker.may_say(99, &mut room, Pace::USUAL, at(n * 1_000 + 999));
            assert_eq!(again, Err(ChatError::TooFast(Duration::from_millis(1))));
        }
        // Refilled by one each 1.5 s meanwhile, so it is a little more than twenty.
        let mut n = 20;
        let wait = loop {
            match talker.may_say(n, &mut room, Pace::USUAL, at(n * 1_000)) {
                Ok(()) => n += 1,
                Err(ChatError::TooFast(wait)) => break wait,
                Err(other) => panic!("{other:?}"),
            }
        };
        assert!(n < 61 && wait <= Duration::from_millis(1_500), "{n} {wait:?}");
        assert_eq!(talker.may_say(n, &mut room, Pace::USUAL, at(n * 1_000) + wait), Ok(()));
    }

    #[test]
    fn the_same_words_are_not_repeated_until_something_else_was_said_or_half_a_minute_has_passed() {
        let (mut talker, mut room) = (Talker::default(), FullAt::default());
        let mut say = |words, ms| talker.may_say(words, &mut room, Pace::USUAL, at(ms));
        assert_eq!(say(1, 0), Ok(()));
        assert_eq!(say(1, 5_000), Err(ChatError::Repeated));
        assert_eq!(say(2, 6_000), Ok(()));
        assert_eq!(say(1, 8_000), Ok(()));
        assert_eq!(say(1, 37_999), Err(ChatError::Repeated));
        assert_eq!(say(1, 38_000), Ok(()));
    }

    #[test]
    fn a_room_takes_fifty_a_second_and_what_it_does_not_take_counts_for_nobody() {
        let mut room = FullAt::default();
        for n in 0..50 {
            assert_eq!(Talker::default().may_say(n, &mut room, Pace::USUAL, NOW), Ok(()));
        }
        let mut late = Talker::default();
        let wait = Duration::from_millis(20);
        assert_eq!(late.may_say(1, &mut room, Pace::USUAL, NOW), Err(ChatError::RoomBusy(wait)));
        assert_eq!(late.may_say(1, &mut room, Pace::USUAL, NOW + wait), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nobody() {
        let (mut talker, mut room) = (Talker::default(), FullAt::default());
        assert_eq!(talker.may_say(1, &mut room, Pace::USUAL, at(3_600_000)), Ok(()));
        let mut now = NOW;
        while let Err(refused) = talker.may_say(1, &mut room, Pace::USUAL, now) {
            now += refused.retry_after().unwrap();
        }
        assert!(now < at(3_000), "{now:?}");
        assert!(talker.is_forgettable(Pace::USUAL, now + Duration::from_secs(30)));
    }
}
