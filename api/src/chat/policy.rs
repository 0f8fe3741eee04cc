//! How often something may be said. `log/say.lua` has the same for replicas; the same tests pass with both.

use std::collections::{HashMap, VecDeque};
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
    /// Between two messages of one person where the room is slow; zero where it is not.
    pub(crate) slow: Duration,
    pub(crate) unique: Unique,
}

/// Whether a message has to be one that nobody has said lately. The number is a hash of what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unique {
    Off,
    /// It need not be, and nobody may repeat it.
    Remember(u64),
    Demand(u64),
}

impl Pace {
    /// 20 in 30 s, with a second between two, is 60 in any minute; 50 a second is more than anybody reads.
    pub(crate) const USUAL: Self = Self {
        burst: 20,
        window: Duration::from_secs(30),
        gap: Duration::from_secs(1),
        same: Duration::from_secs(30),
        room: 50,
        slow: Duration::ZERO,
        unique: Unique::Off,
    };

    /// Of who keeps order: they answer many at once.
    pub(crate) const MODERATORS: Self = Self { burst: 100, gap: Duration::ZERO, ..Self::USUAL };
}

/// What was said in a room while it took no message twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct SaidLately {
    at: HashMap<u64, Duration>,
    /// The oldest first; what was said again, or forgotten, is here more than once.
    order: VecDeque<(u64, Duration)>,
}

impl SaidLately {
    /// Whether nobody has said this lately, where that counts.
    pub(crate) fn allows(&self, unique: Unique, now: Duration) -> Result<(), ChatError> {
        match unique {
            Unique::Demand(what) if self.at.get(&what).is_some_and(|at| within(*at, Self::LATELY, now)) => {
                Err(ChatError::NotUnique)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn add(&mut self, unique: Unique, now: Duration) {
        let (Unique::Remember(what) | Unique::Demand(what)) = unique else { return };
        self.at.insert(what, now);
        self.order.push_back((what, now));
        self.forget_old(now);
    }

    /// What could not be kept may be tried again at once.
    pub(crate) fn forget(&mut self, unique: Unique) {
        if let Unique::Remember(what) | Unique::Demand(what) = unique {
            self.at.remove(&what);
        }
    }

    pub(crate) fn forget_old(&mut self, now: Duration) {
        while let Some((what, at)) = self.order.front().copied() {
            if self.order.len() <= Self::MOST && within(at, Self::LATELY, now) {
                return;
            }
            self.order.pop_front();
            // Not if it was said again since.
            if self.at.get(&what) == Some(&at) {
                self.at.remove(&what);
            }
        }
    }

    pub(crate) const LATELY: Duration = Duration::from_secs(600);
    /// Messages of a room, at most: more than ten minutes of most.
    pub(crate) const MOST: usize = 2_000;
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
        if let Some(last) = self.last.filter(|last| within(*last, pace.slow, now)) {
            return Err(ChatError::Slow((last + pace.slow).saturating_sub(now)));
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
    pub(crate) fn is_forgettable(&self, now: Duration) -> bool {
        self.last.is_none_or(|last| !within(last, REMEMBERED, now))
    }
}

/// Whether `span` since `then` is not over. What lies ahead was stored before the clock was set back, and is over.
fn within(then: Duration, span: Duration, now: Duration) -> bool {
    now.checked_sub(then).is_some_and(|passed| passed < span)
}

const SECOND: Duration = Duration::from_secs(1);
/// How long it matters when somebody talked last: the slowest that a channel can be, and longer than all else that is counted.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(120);

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
    fn a_slow_room_takes_one_message_of_each_person_in_a_while() {
        let (mut talker, mut room) = (Talker::default(), FullAt::default());
        let slow = Pace { slow: Duration::from_secs(10), ..Pace::USUAL };
        assert_eq!(talker.may_say(1, &mut room, slow, at(0)), Ok(()));
        let wait = Duration::from_secs(4);
        assert_eq!(talker.may_say(2, &mut room, slow, at(6_000)), Err(ChatError::Slow(wait)));
        assert_eq!(Talker::default().may_say(2, &mut room, slow, at(6_000)), Ok(()));
        assert_eq!(talker.may_say(2, &mut room, slow, at(10_000)), Ok(()));
        assert!(!talker.is_forgettable(at(129_999)));
        assert!(talker.is_forgettable(at(130_000)));
    }

    #[test]
    fn who_keeps_order_says_a_hundred_things_in_half_a_minute() {
        let (mut talker, mut room) = (Talker::default(), FullAt::default());
        for n in 0..100 {
            // Fifty a second are the room's.
            assert_eq!(talker.may_say(n, &mut room, Pace::MODERATORS, at(n * 20)), Ok(()), "{n}");
        }
        // What two seconds have refilled.
        let more =
            (100..120).take_while(|n| talker.may_say(*n, &mut room, Pace::MODERATORS, at(2_000)).is_ok());
        let more = more.count();
        assert!((5..=7).contains(&more), "{more}");
    }

    #[test]
    fn what_anybody_said_is_not_said_again_for_ten_minutes() {
        let mut said = SaidLately::default();
        assert_eq!(said.allows(Unique::Demand(1), at(0)), Ok(()));
        said.add(Unique::Demand(1), at(0));
        said.add(Unique::Remember(2), at(0));
        for what in [1, 2] {
            assert_eq!(said.allows(Unique::Demand(what), at(599_999)), Err(ChatError::NotUnique));
            assert_eq!(said.allows(Unique::Remember(what), at(1)), Ok(()));
            assert_eq!(said.allows(Unique::Demand(what), at(600_000)), Ok(()));
        }
        said.forget(Unique::Demand(1));
        assert_eq!(said.allows(Unique::Demand(1), at(1)), Ok(()));
        said.add(Unique::Demand(1), at(300_000));
        said.forget_old(at(700_000));
        assert_eq!(said.allows(Unique::Demand(1), at(700_000)), Err(ChatError::NotUnique));
        assert_eq!(said.order.len(), 1);
        for what in 10..10_000 {
            said.add(Unique::Demand(what), at(700_000));
        }
        assert_eq!((said.order.len(), said.at.len()), (SaidLately::MOST, SaidLately::MOST));
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
        assert!(talker.is_forgettable(now + REMEMBERED));
    }
}
