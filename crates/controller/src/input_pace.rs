//! How often a worker may tell of its publisher.

use std::time::Duration;

use caudal_livestream::feed::InputState;
use tokio::time::Instant;

/// Passes on what a worker says of its publisher: a burst as it comes, and from then on the newest at an even pace, because each
/// may be a write to the record and an Event. A worker handles strangers' media; one that was taken over says what it likes.
///
/// What ends or moves a broadcast does not wait: each kind of it once until the worker has been calm again.
#[derive(Debug)]
pub(crate) struct InputPace {
    /// How many may go at once.
    left: u32,
    /// When the last of [`Self::left`] was added.
    refilled: Instant,
    /// The newest, while it has to wait.
    waiting: Option<InputState>,
    /// Kinds of urgent news that were passed on since there was room for a whole burst.
    told: Urgent,
}

/// What an input says that its broadcast is waiting for.
#[derive(Clone, Copy, Debug, Default)]
struct Urgent([bool; 4]);

impl InputPace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now, waiting: None, told: Urgent::default() }
    }

    /// The worker said `state`: what is to be passed on now, if anything is.
    pub(crate) fn take(&mut self, state: InputState, now: Instant) -> Option<InputState> {
        self.refill(now);
        let is_urgent = Urgent::of(&state).has_news(self.told);
        self.waiting = Some(state);
        if is_urgent { self.pass_on() } else { self.due(now) }
    }

    /// What has waited, if it is time for it.
    pub(crate) fn due(&mut self, now: Instant) -> Option<InputState> {
        self.refill(now);
        if self.left == 0 { None } else { self.pass_on() }
    }

    /// When that is; none while nothing waits.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|_| self.refilled + PAUSE)
    }

    /// The worker says nothing more: the last that it said.
    pub(crate) fn last_word(&mut self) -> Option<InputState> {
        self.waiting.take()
    }

    fn pass_on(&mut self) -> Option<InputState> {
        let state = self.waiting.take()?;
        self.left = self.left.saturating_sub(1);
        self.told = self.told.and(Urgent::of(&state));
        Some(state)
    }

    fn refill(&mut self, now: Instant) {
        while self.left < BURST && now.saturating_duration_since(self.refilled) >= PAUSE {
            self.refilled += PAUSE;
            self.left = self.left.saturating_add(1);
        }
        if self.left == BURST {
            self.refilled = now;
            self.told = Urgent::default();
        }
    }
}

impl Urgent {
    fn of(state: &InputState) -> Self {
        let is_explicit_end = !state.up && state.explicit;
        Self([is_explicit_end, state.moved, state.leaving, state.unplayable.is_some()])
    }

    fn has_news(self, told: Self) -> bool {
        self.0.iter().zip(told.0).any(|(is, was)| *is && !was)
    }

    fn and(self, other: Self) -> Self {
        let mut both = self;
        for (is, other) in both.0.iter_mut().zip(other.0) {
            *is |= other;
        }
        both
    }
}

/// A publisher that is lost, returns and is lost again, with what a worker says of it when it is told to go, is fewer.
const BURST: u32 = 6;
/// Twice a second is more than anybody can read.
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use caudal_livestream::Generation;

    use super::*;

    fn generation(n: u64) -> Generation {
        Generation(u32::try_from(n).unwrap())
    }

    fn up(n: u64) -> InputState {
        InputState { generation: generation(n), up: true, ..InputState::default() }
    }

    fn down(n: u64) -> InputState {
        InputState { generation: generation(n), ..InputState::default() }
    }

    /// Says each of these at its millisecond, in order: what is passed on, and when.
    fn passed_on(said: impl IntoIterator<Item = (u64, InputState)>) -> Vec<(u64, InputState)> {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut pace = InputPace::new(begun);
        let mut passed_on = Vec::new();
        let until = |pace: &mut InputPace, passed_on: &mut Vec<_>, now: Instant| {
            while let Some(due) = pace.due_at().filter(|due| *due <= now) {
                let millis = u64::try_from(due.duration_since(begun).as_millis()).unwrap();
                passed_on.extend(pace.due(due).map(|state| (millis, state)));
            }
        };
        for (millis, state) in said {
            until(&mut pace, &mut passed_on, at(millis));
            passed_on.extend(pace.take(state, at(millis)).map(|state| (millis, state)));
        }
        until(&mut pace, &mut passed_on, begun + Duration::from_secs(3600));
        assert!(pace.last_word().is_none(), "nothing is kept for ever");
        passed_on
    }

    #[test]
    fn a_publisher_that_comes_and_goes_is_told_of_at_once() {
        let said: Vec<_> = [0, 10, 20, 300, 5_000, 5_001, 5_002, 5_003, 60_000]
            .into_iter()
            .zip(1..)
            .map(|(millis, generation)| {
                (millis, if generation % 2 == 0 { down(generation) } else { up(generation) })
            })
            .collect();
        assert_eq!(passed_on(said.clone()), said);
    }

    #[test]
    fn of_a_flood_the_newest_is_told_twice_a_second_and_the_last_word_is_heard() {
        // A thousand a second, for ten seconds.
        let said: Vec<_> = (0..10_000).map(|n| (n, if n % 2 == 0 { up(n) } else { down(n) })).collect();
        let told = passed_on(said.clone());
        let first: Vec<_> = told.iter().take(6).cloned().collect();
        assert_eq!(first, said[..6]);
        assert_eq!(told.len(), 6 + 20);
        for (n, (millis, state)) in told.iter().enumerate().skip(6) {
            assert_eq!(*millis, (u64::try_from(n).unwrap() - 5) * 500);
            // What is said in the same millisecond comes behind the pause's end.
            assert_eq!(state.generation, generation(millis - 1));
        }
        assert_eq!(told.last().unwrap().1, said.last().unwrap().1);
    }

    #[test]
    fn what_ends_or_moves_a_broadcast_does_not_wait_and_is_told_so_once() {
        let ends = InputState { explicit: true, ..down(7) };
        let moved = InputState { moved: true, ..down(7) };
        let leaving = InputState { leaving: true, ..up(7) };
        let unplayable = InputState { unplayable: Some("VP6".to_owned()), ..up(7) };
        for urgent in [ends, moved, leaving, unplayable] {
            let flood = (0..100).map(|n| (n, if n % 2 == 0 { up(n) } else { down(n) }));
            // Other words for the same come too, and what takes them back.
            let again = (101..400).map(|n| match n % 2 {
                0 => (n, up(n)),
                _ => (n, InputState { generation: generation(n), ..urgent.clone() }),
            });
            let told = passed_on(flood.chain([(100, urgent.clone())]).chain(again));
            assert_eq!(told[6], (100, urgent.clone()), "{urgent:?}");
            assert_eq!(told.len(), 8, "{told:?}");
            assert_eq!(told[7].0, 500);
            // Once it has been calm it is news again.
            let later = passed_on([(0, urgent.clone()), (9_000, urgent.clone()), (9_001, urgent.clone())]);
            assert_eq!(later.len(), 3);
        }
    }

    #[test]
    fn the_last_word_of_a_worker_that_is_gone_is_there_at_once() {
        let now = Instant::now();
        let mut pace = InputPace::new(now);
        assert_eq!((0..8).filter_map(|n| pace.take(up(n), now)).count(), 6);
        assert_eq!(pace.last_word(), Some(up(7)));
        assert_eq!(pace.due_at(), None);
    }
}
