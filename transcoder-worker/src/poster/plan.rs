//! When a poster is made of a keyframe, which takes a process of its own and a second decoding: only where no rung's
//! encoder makes one.

use std::time::Duration;

use tokio::time::Instant;

/// When the next poster is due.
#[derive(Debug)]
pub(super) struct Plan {
    every: Duration,
    newest: Newest,
    /// Known from the first keyframe on.
    next: Option<Instant>,
    made: bool,
}

/// Whether an encoder runs that is to make posters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rungs {
    MakePosters,
    None,
}

/// The newest keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    /// There was none yet.
    Awaited,
    /// The broadcast's first, which is often black or a title.
    First,
    Fresh,
    /// A newer poster exists, or this keyframe could not be made one.
    Used,
}

impl Plan {
    /// `every` is how long a poster stays.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, newest: Newest::Awaited, next: None, made: false }
    }

    pub(super) fn keyframe(&mut self, now: Instant) {
        self.newest = match self.newest {
            Newest::Awaited => {
                self.next = Some(now + FIRST);
                Newest::First
            }
            Newest::First | Newest::Fresh | Newest::Used => Newest::Fresh,
        };
    }

    /// A poster is stored, whoever made it.
    pub(super) fn made(&mut self, now: Instant) {
        self.made = true;
        self.newest = Newest::Used;
        self.next = Some(now + self.every);
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.newest = Newest::Used;
        self.next = Some(now + self.every.min(RETRY));
    }

    /// When to make a poster of the newest keyframe; none while that would be the same picture again.
    pub(super) fn due(&self, rungs: Rungs) -> Option<Instant> {
        let next = match rungs {
            Rungs::MakePosters => self.next? + GRACE,
            Rungs::None => self.next?,
        };
        match self.newest {
            Newest::Awaited | Newest::Used => None,
            Newest::First => Some(next + SECOND_KEYFRAME),
            Newest::Fresh => Some(next),
        }
    }

    /// At the end: a broadcast that was too short for its first poster.
    pub(super) fn owes_one(&self) -> bool {
        !self.made && matches!(self.newest, Newest::First | Newest::Fresh)
    }
}

/// After the first keyframe: what a scene begins with is often black.
pub(crate) const FIRST: Duration = Duration::from_secs(3);
/// How late an encoder's poster may be on a busy machine.
const GRACE: Duration = Duration::from_secs(5);
/// A usual encoder's second keyframe is there by then (x264's own choice is 250 frames); the first one is taken only if
/// no other comes.
const SECOND_KEYFRAME: Duration = Duration::from_secs(7);
/// Pause after a poster that failed.
const RETRY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_mins(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// When a plan with these keyframes, in seconds, wants its first poster.
    fn first_due(keyframes: &[u64], rungs: Rungs) -> Option<u64> {
        let begun = Instant::now();
        let mut plan = Plan::new(EVERY);
        for at in keyframes {
            plan.keyframe(begun + seconds(*at));
        }
        plan.due(rungs).map(|due| due.duration_since(begun).as_secs())
    }

    #[test]
    fn the_first_poster_comes_after_three_seconds_and_shows_no_first_frame_if_there_is_another() {
        for (keyframes, rungs, due) in [
            (&[][..], Rungs::None, None),
            (&[0, 2], Rungs::None, Some(3)),
            (&[0], Rungs::None, Some(10)),
            (&[0, 8], Rungs::None, Some(3)),
            (&[0, 2], Rungs::MakePosters, Some(8)),
        ] {
            assert_eq!(first_due(keyframes, rungs), due, "{keyframes:?} {rungs:?}");
        }
    }

    #[test]
    fn the_next_one_comes_after_the_interval_and_of_another_keyframe() {
        let begun = Instant::now();
        let mut plan = Plan::new(EVERY);
        plan.keyframe(begun);
        plan.made(begun + seconds(3));
        assert_eq!(plan.due(Rungs::None), None, "that would be the same picture");
        plan.keyframe(begun + seconds(4));
        assert_eq!(plan.due(Rungs::None), Some(begun + seconds(63)));
        assert_eq!(plan.due(Rungs::MakePosters), Some(begun + seconds(68)), "an encoder's may be late");
    }

    #[test]
    fn one_that_failed_is_tried_again_soon() {
        let begun = Instant::now();
        let mut plan = Plan::new(EVERY);
        plan.keyframe(begun);
        plan.failed(begun + seconds(3));
        assert_eq!(plan.due(Rungs::None), None);
        plan.keyframe(begun + seconds(4));
        assert_eq!(plan.due(Rungs::None), Some(begun + seconds(13)));
    }

    #[test]
    fn a_broadcast_that_ends_before_its_first_poster_is_owed_one() {
        let now = Instant::now();
        let mut plan = Plan::new(EVERY);
        assert!(!plan.owes_one(), "of sound alone there is no picture");
        plan.keyframe(now);
        assert!(plan.owes_one());
        plan.made(now);
        plan.keyframe(now);
        assert!(!plan.owes_one());
    }
}
