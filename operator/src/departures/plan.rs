//! Which broadcasts may leave their workers now: by turns, each again after a pause when it could not.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use caudal_controller::{MoveError, Moved};
use caudal_livestream::StreamId;
use caudal_livestream::lifecycle::MoveFailure;
use tokio::time::Instant;

use super::Leaving;

/// The moves that are under way, and when those that came to nothing are tried again.
#[derive(Default)]
pub(super) struct Plan {
    known: HashMap<StreamId, Attempts>,
}

#[derive(Clone, Copy, Default)]
struct Attempts {
    failures: u32,
    /// None while a move is under way.
    not_before: Option<Instant>,
}

/// Whether a broadcast is tried for the first time since it is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    First,
    Again,
}

impl Attempt {
    pub(super) fn is_first(self) -> bool {
        self == Self::First
    }
}

/// What came of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The broadcast has another worker.
    Moved,
    /// It could not be, for a reason that passes by itself and that the phase tells people: the broadcast begins or ends, its publisher
    /// is away, it is being moved or given a worker anyhow.
    NotNow,
    /// It was given up, for want of a worker above all, and the broadcast is where it was.
    Failed,
}

impl End {
    pub(super) fn of(outcome: &Result<Moved, MoveError>) -> Self {
        use MoveFailure as Failure;
        match outcome {
            Ok(_) => Self::Moved,
            Err(MoveError::Refused(_) | MoveError::Unknown) => Self::NotNow,
            Err(MoveError::NotReady(_) | MoveError::Unavailable(_)) => Self::Failed,
            Err(MoveError::Failed(failure)) => match failure {
                Failure::PublisherLost
                | Failure::Ended
                | Failure::OldWorkerLost
                | Failure::BothLost
                | Failure::LostAfterTheSwitch
                | Failure::PublisherLostBehindTheSwitch
                | Failure::NothingAnnounced => Self::NotNow,
                Failure::NoWorker
                | Failure::NoSwitch
                | Failure::NextWorkerNotReady
                | Failure::NextWorkerLost
                | Failure::NextWorkerUnreachable
                | Failure::ControllerRestarted
                | Failure::Unknown => Self::Failed,
            },
        }
    }
}

impl Plan {
    /// Those of `there`, the broadcasts that are to leave, whose moves may begin now, in the order of their turns. What is not `there` any
    /// more, because nothing asks for it any longer, is forgotten.
    pub(super) fn due(&mut self, there: Vec<Leaving>, now: Instant) -> Vec<(Leaving, Attempt)> {
        let streams: HashSet<_> = there.iter().map(|leaving| leaving.stream).collect();
        self.known.retain(|stream, attempts| attempts.not_before.is_none() || streams.contains(stream));
        let mut due: Vec<_> = there
            .into_iter()
            .filter_map(|leaving| match self.known.get(&leaving.stream) {
                None => Some((None, leaving)),
                Some(attempts) => attempts.not_before.filter(|at| *at <= now).map(|at| (Some(at), leaving)),
            })
            .collect();
        // Those that were not tried yet first, and then by turns, so that none that cannot be moved keeps others waiting.
        due.sort_by_key(|(since, leaving)| (*since, leaving.stream));
        let attempt = |since: Option<Instant>| if since.is_none() { Attempt::First } else { Attempt::Again };
        due.into_iter().map(|(since, leaving)| (leaving, attempt(since))).collect()
    }

    /// A move begins. It is under way until [`ended`](Self::ended).
    pub(super) fn begun(&mut self, stream: StreamId) {
        self.known.entry(stream).or_default().not_before = None;
    }

    /// The broadcasts whose moves are under way.
    pub(super) fn under_way(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.known.iter().filter(|(_, attempts)| attempts.not_before.is_none()).map(|(stream, _)| *stream)
    }

    /// A move is over. Returns the pause before the next one of this broadcast, should it be to leave still.
    pub(super) fn ended(&mut self, stream: StreamId, end: End, now: Instant) -> Duration {
        let attempts = self.known.entry(stream).or_default();
        attempts.failures = match end {
            End::Moved => 0,
            End::NotNow => attempts.failures,
            End::Failed => attempts.failures.saturating_add(1),
        };
        let pause = match end {
            End::Moved | End::NotNow => SHORT_PAUSE,
            End::Failed => FIRST_PAUSE
                .saturating_mul(1 << attempts.failures.saturating_sub(1).min(10))
                .min(LONGEST_PAUSE),
        };
        attempts.not_before = Some(now + pause);
        pause
    }
}

/// The record shows who has a stream a moment after it has moved; and a publisher may be back at any time.
const SHORT_PAUSE: Duration = Duration::from_secs(2);
/// A move that finds no worker has waited for one for half a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// An autoscaler brings a node within a minute or two, and only while a pod waits for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use caudal_livestream::lifecycle::MoveRefusal;

    use super::*;
    use crate::departures::Why;
    use crate::nodes::Emptied;

    fn on_a_node(streams: &[StreamId]) -> Vec<Leaving> {
        let why = Why::Node { node: "node-1".to_owned(), emptied: Emptied::Cordoned };
        streams.iter().map(|stream| Leaving { stream: *stream, why: why.clone() }).collect()
    }

    /// So many streams, in the order of their ids.
    fn streams(count: usize) -> Vec<StreamId> {
        let mut streams: Vec<_> = (0..count).map(|_| StreamId::generate()).collect();
        streams.sort();
        streams
    }

    /// Begins those that are due, `most` of them.
    fn begin(plan: &mut Plan, most: usize, there: &[StreamId], now: Instant) -> Vec<(StreamId, Attempt)> {
        let due = plan.due(on_a_node(there), now).into_iter().take(most);
        let begun: Vec<_> = due.map(|(leaving, attempt)| (leaving.stream, attempt)).collect();
        for (stream, _) in &begun {
            plan.begun(*stream);
        }
        begun
    }

    fn begun(plan: &mut Plan, there: &[StreamId], now: Instant) -> Vec<StreamId> {
        begin(plan, usize::MAX, there, now).into_iter().map(|(stream, _)| stream).collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_what_is_still_where_it_was_for_want_of_something_counts_as_a_failure() {
        let of = |error: MoveError| End::of(&Err(error));
        assert_eq!(of(MoveFailure::NoWorker.into()), End::Failed);
        assert_eq!(of(MoveError::NotReady("no space left".to_owned())), End::Failed);
        assert_eq!(of(MoveRefusal::NoPublisher.into()), End::NotNow);
        assert_eq!(of(MoveFailure::Ended.into()), End::NotNow);
        assert_eq!(of(MoveFailure::NothingAnnounced.into()), End::NotNow, "it is on the other node");
    }

    #[test]
    fn one_whose_move_is_under_way_is_not_begun_again_and_those_that_were_not_begun_stay_due() {
        let (mut plan, now, all) = (Plan::default(), Instant::now(), streams(3));
        assert_eq!(begin(&mut plan, 2, &all, now), [(all[0], Attempt::First), (all[1], Attempt::First)]);
        assert_eq!(plan.under_way().collect::<HashSet<_>>(), HashSet::from([all[0], all[1]]));
        assert_eq!(begun(&mut plan, &all, now), all[2..]);
        assert_eq!(begun(&mut plan, &all, now), []);
        plan.ended(all[0], End::Moved, now);
        assert_eq!(plan.under_way().collect::<HashSet<_>>(), HashSet::from([all[1], all[2]]));
    }

    #[test]
    fn one_that_could_not_be_moved_is_tried_again_after_pauses_that_grow() {
        let (mut plan, mut now, one) = (Plan::default(), Instant::now(), streams(1));
        assert_eq!(begin(&mut plan, 1, &one, now), [(one[0], Attempt::First)]);
        for pause in [5, 10, 20, 40, 40] {
            assert_eq!(plan.ended(one[0], End::Failed, now), seconds(pause));
            assert_eq!(begun(&mut plan, &one, now + seconds(pause - 1)), []);
            now += seconds(pause);
            assert_eq!(begin(&mut plan, 1, &one, now), [(one[0], Attempt::Again)]);
        }
        // The publisher is away for a moment: that is no failure.
        assert_eq!(plan.ended(one[0], End::NotNow, now), seconds(2));
        assert_eq!(begun(&mut plan, &one, now + seconds(2)), one);
    }

    #[test]
    fn those_that_cannot_be_moved_keep_no_others_waiting() {
        let (mut plan, mut now, all) = (Plan::default(), Instant::now(), streams(6));
        let mut tried = HashSet::new();
        for _ in 0..3 {
            for (stream, _) in begin(&mut plan, 2, &all, now) {
                plan.ended(stream, End::NotNow, now);
                tried.insert(stream);
            }
            now += seconds(2);
        }
        assert_eq!(tried.len(), 6);
    }

    #[test]
    fn a_node_that_is_no_longer_being_emptied_keeps_what_it_has_and_counts_anew_the_next_time() {
        let (mut plan, now, one) = (Plan::default(), Instant::now(), streams(1));
        assert_eq!(begun(&mut plan, &one, now), one);
        plan.ended(one[0], End::Failed, now);
        assert_eq!(begun(&mut plan, &[], now), []);
        assert_eq!(begin(&mut plan, 1, &one, now), [(one[0], Attempt::First)], "cordoned again");
        // A move that is under way is so until it is over.
        assert_eq!(begun(&mut plan, &[], now), []);
        assert_eq!(begun(&mut plan, &one, now), []);
    }
}
