//! Which assignments a worker takes.

use axum::http::StatusCode;
use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::{UnixMillis, WorkerId};
use thiserror::Error;

/// What to do with an assignment that the controller signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Begin with it. In mode `prepare` that is to get ready, and to leave the epoch unclaimed.
    Take,
    /// It is the one that the worker has: the controller's request was repeated.
    Same,
    /// The epoch that the worker was made ready for is the stream's now.
    GoLive,
    /// End the stream that the worker has.
    End,
}

/// Why an assignment is not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("the assignment is for another worker")]
    NotForMe,
    #[error("the assignment has expired")]
    Expired,
    #[error("the worker has no stream")]
    NoStream,
    #[error("the worker has another stream")]
    OtherStream,
    #[error("the worker has epoch {0} of the stream")]
    OtherEpoch(u32),
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NotForMe => StatusCode::FORBIDDEN,
            Self::Expired => StatusCode::GONE,
            Self::NoStream | Self::OtherStream | Self::OtherEpoch(_) => StatusCode::CONFLICT,
        }
    }
}

/// Decides on `offered`, given what the worker has (`held`).
pub(crate) fn judge(
    me: WorkerId,
    held: Option<&Assignment>,
    offered: &Assignment,
    now: UnixMillis,
) -> Result<Verdict, Refusal> {
    if offered.worker != me {
        return Err(Refusal::NotForMe);
    }
    if let Some(held) = held {
        if offered.stream != held.stream {
            return Err(Refusal::OtherStream);
        }
        if offered.epoch == held.epoch {
            match (held.mode, offered.mode) {
                (AssignmentMode::Prepare, AssignmentMode::Live) => return Ok(Verdict::GoLive),
                // A request to prepare that was on its way while the next one came.
                (_, AssignmentMode::Prepare) => return Ok(Verdict::Same),
                // Whatever else it says: it expires later, is sealed anew, and another controller may know more of what was announced.
                (mode, repeated) if mode == repeated => return Ok(Verdict::Same),
                _ => {}
            }
        }
        // A controller that has lost count may end a stream under a newer epoch; the fence is ours either way.
        if offered.epoch >= held.epoch && offered.mode == AssignmentMode::Finish {
            return Ok(Verdict::End);
        }
        return Err(Refusal::OtherEpoch(held.epoch.0));
    }
    // Only a worker without a stream looks at the time: a repeated request must get the same answer.
    if offered.expires < now {
        return Err(Refusal::Expired);
    }
    Ok(Verdict::Take)
}

#[cfg(test)]
mod tests {
    use caudal_livestream::credentials::SealedCredentials;
    use caudal_livestream::{Epoch, StreamId};

    use super::*;
    use crate::fixtures::assignment;

    #[test]
    fn an_idle_worker_takes_what_is_for_it_and_in_time() {
        let me = WorkerId::generate();
        let mine = assignment(me, StreamId::generate(), Epoch(2));
        let with = |change: fn(&mut Assignment)| {
            let mut other = mine.clone();
            change(&mut other);
            judge(me, None, &other, UnixMillis(1000))
        };
        assert_eq!(with(|_| {}), Ok(Verdict::Take));
        assert_eq!(with(|a| a.mode = AssignmentMode::Finish), Ok(Verdict::Take));
        assert_eq!(with(|a| a.worker = WorkerId::generate()), Err(Refusal::NotForMe));
        assert_eq!(with(|a| a.expires = UnixMillis(999)), Err(Refusal::Expired));
        assert_eq!(with(|a| a.mode = AssignmentMode::Prepare), Ok(Verdict::Take));
    }

    #[test]
    fn a_worker_that_is_ready_goes_live_or_ends_under_its_own_epoch_only() {
        let me = WorkerId::generate();
        let held =
            Assignment { mode: AssignmentMode::Prepare, ..assignment(me, StreamId::generate(), Epoch(2)) };
        let with = |mode, epoch| {
            let offered = Assignment { mode, epoch: Epoch(epoch), ..held.clone() };
            judge(me, Some(&held), &offered, UnixMillis(2000))
        };
        assert_eq!(with(AssignmentMode::Prepare, 2), Ok(Verdict::Same));
        assert_eq!(with(AssignmentMode::Live, 2), Ok(Verdict::GoLive));
        assert_eq!(with(AssignmentMode::Finish, 2), Ok(Verdict::End));
        assert_eq!(with(AssignmentMode::Live, 3), Err(Refusal::OtherEpoch(2)));
        let live = Assignment { mode: AssignmentMode::Live, ..held.clone() };
        assert_eq!(judge(me, Some(&live), &held, UnixMillis(2000)), Ok(Verdict::Same), "what came too late");
    }

    #[test]
    fn a_busy_worker_keeps_its_stream_and_epoch() {
        let me = WorkerId::generate();
        let held = assignment(me, StreamId::generate(), Epoch(2));
        let with = |change: fn(&mut Assignment)| {
            let mut other = held.clone();
            change(&mut other);
            judge(me, Some(&held), &other, UnixMillis(2000))
        };
        assert_eq!(with(|_| {}), Ok(Verdict::Same), "a repeated request, even after it expired");
        assert_eq!(with(|a| a.expires = UnixMillis(9000)), Ok(Verdict::Same), "repeated after a lost answer");
        assert_eq!(with(|a| a.credentials = Some(SealedCredentials::new(b"anew"))), Ok(Verdict::Same));
        assert_eq!(with(|a| a.stream = StreamId::generate()), Err(Refusal::OtherStream));
        assert_eq!(with(|a| a.epoch = Epoch(1)), Err(Refusal::OtherEpoch(2)));
        assert_eq!(with(|a| a.epoch = Epoch(3)), Err(Refusal::OtherEpoch(2)));
        assert_eq!(with(|a| a.mode = AssignmentMode::Finish), Ok(Verdict::End));
        assert_eq!(
            with(|a| {
                a.mode = AssignmentMode::Finish;
                a.epoch = Epoch(1);
            }),
            Err(Refusal::OtherEpoch(2))
        );
    }
}
