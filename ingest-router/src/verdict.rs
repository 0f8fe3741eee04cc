//! Whether a publisher may stay, by what the directory says of its stream.

use caudal_livestream::record::{DesiredState, LiveStream};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Generation, SessionId};
use caudal_rtmp::Refusal;

use crate::metrics::SessionEnd;
use crate::words;

/// What the publisher of a session is told when it has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dismissal {
    pub(crate) end: SessionEnd,
    pub(crate) refusal: Refusal,
    pub(crate) message: String,
}

impl Dismissal {
    /// At a stop of this router: the publisher comes back, to another one or to its successor.
    pub(crate) fn shutdown() -> Self {
        Self::new(SessionEnd::Shutdown, Refusal::Rejected, words::RESTARTING)
    }

    fn new(end: SessionEnd, refusal: Refusal, message: impl Into<String>) -> Self {
        Self { end, refusal, message: message.into() }
    }
}

/// Whether this router, which stops, has asked the publisher to go to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedToReconnect {
    Yes,
    No,
}

/// The dismissal of the publisher of `session` and `generation`, if the stream's record means one.
pub(crate) fn dismissal(
    record: Option<&LiveStream>,
    session: SessionId,
    generation: Generation,
    asked: AskedToReconnect,
) -> Option<Dismissal> {
    let over = |refusal, message| Some(Dismissal::new(SessionEnd::StreamOver, refusal, message));
    let Some(LiveStream { spec, status }) = record else {
        return over(Refusal::Rejected, words::ENDED.to_owned());
    };
    if spec.ingest.generation > generation {
        return Some(match asked {
            // It has gone over as it was asked to, and is no rival of itself.
            AskedToReconnect::Yes => Dismissal::shutdown(),
            AskedToReconnect::No => {
                Dismissal::new(SessionEnd::TakenOver, Refusal::BadName, words::TAKEN_OVER)
            }
        });
    }
    let dropped = spec.drop.as_ref().filter(|order| order.session == session);
    if status.phase.is_over() || spec.desired_state == DesiredState::Ended {
        let told = status.reason.as_ref().filter(|_| status.phase.is_over());
        // What a platform lacked is for whoever runs it, down to the names of its pods; the publisher is told the rest.
        let ended = status.end_reason.filter(|reason| told.is_some() && *reason != EndReason::Unknown);
        let ended = ended.map(|reason| reason.to_string());
        return match spec.end_reason {
            // The revocation may be here before the order to end.
            reason if reason == Some(EndReason::KeyRotated) || spec.key_revoked => {
                over(Refusal::Denied, words::KEY_CHANGED.to_owned())
            }
            // A ban drops the publisher and ends the broadcast; the drop has the reason.
            Some(EndReason::EndedByOwner) => over(
                Refusal::Rejected,
                dropped.map_or_else(|| words::ENDED_BY_OWNER.to_owned(), |order| order.reason.clone()),
            ),
            Some(EndReason::Shutdown) => over(Refusal::Rejected, words::STOPPING.to_owned()),
            None if status.end_reason == Some(EndReason::NothingPlayable) => over(
                Refusal::Rejected,
                told.map_or_else(|| words::ENDED.to_owned(), |reason| words::unplayable(reason)),
            ),
            _ => over(
                Refusal::Rejected,
                ended
                    .as_ref()
                    .or(told)
                    .map_or_else(|| words::ENDED.to_owned(), |reason| words::ended_because(reason)),
            ),
        };
    }
    let order = dropped?;
    Some(Dismissal::new(SessionEnd::Dropped, Refusal::Rejected, order.reason.clone()))
}

#[cfg(test)]
mod tests {
    use caudal_livestream::fixtures;
    use caudal_livestream::record::{DropPublisher, Phase};

    use super::*;

    #[test]
    fn a_publisher_stays_until_its_streams_record_says_otherwise() {
        type Change = fn(&mut LiveStream);
        type Told = Option<(SessionEnd, Refusal, &'static str)>;
        let cases: [(&str, Change, Told); 13] = [
            ("nothing changed", |_| {}, None),
            ("the stream is live", |record| record.status.phase = Phase::Live, None),
            (
                "another one took over",
                |record| record.spec.ingest.generation = Generation(2),
                Some((SessionEnd::TakenOver, Refusal::BadName, words::TAKEN_OVER)),
            ),
            (
                "its owner or an administrator ended it",
                |record| {
                    record.spec.desired_state = DesiredState::Ended;
                    record.spec.end_reason = Some(EndReason::EndedByOwner);
                },
                Some((SessionEnd::StreamOver, Refusal::Rejected, words::ENDED_BY_OWNER)),
            ),
            (
                "its owner was banned",
                |record| {
                    let reason = "This account may not stream.".to_owned();
                    record.spec.drop = Some(DropPublisher { session: record.spec.ingest.session, reason });
                    record.spec.desired_state = DesiredState::Ended;
                    record.spec.end_reason = Some(EndReason::EndedByOwner);
                },
                Some((SessionEnd::StreamOver, Refusal::Rejected, "This account may not stream.")),
            ),
            (
                "its key was rotated",
                |record| {
                    record.spec.desired_state = DesiredState::Ended;
                    record.spec.end_reason = Some(EndReason::KeyRotated);
                },
                Some((SessionEnd::StreamOver, Refusal::Denied, words::KEY_CHANGED)),
            ),
            (
                "its key was revoked, and nothing else is known yet",
                |record| {
                    record.spec.key_revoked = true;
                    record.status.phase = Phase::Ending;
                },
                Some((SessionEnd::StreamOver, Refusal::Denied, words::KEY_CHANGED)),
            ),
            (
                "it failed",
                |record| {
                    record.status.phase = Phase::Failed;
                    record.status.reason = Some("its workers kept failing".into());
                },
                Some((
                    SessionEnd::StreamOver,
                    Refusal::Rejected,
                    "The broadcast has ended: its workers kept failing. Start streaming again to begin a new one.",
                )),
            ),
            (
                "it is about to fail",
                |record| {
                    record.status.phase = Phase::Ending;
                    record.status.reason = Some("its workers kept failing".into());
                },
                Some((
                    SessionEnd::StreamOver,
                    Refusal::Rejected,
                    "The broadcast has ended: its workers kept failing. Start streaming again to begin a new one.",
                )),
            ),
            (
                "nothing that it sent could be played",
                |record| {
                    record.status.phase = Phase::Failed;
                    record.status.end_reason = Some(EndReason::NothingPlayable);
                    record.status.reason = Some("what was sent cannot be played: no video came".into());
                },
                Some((
                    SessionEnd::StreamOver,
                    Refusal::Rejected,
                    "The broadcast has ended: what was sent cannot be played: no video came. Correct that in your encoder, then start streaming again.",
                )),
            ),
            (
                "it is being closed",
                |record| record.status.phase = Phase::Ending,
                Some((SessionEnd::StreamOver, Refusal::Rejected, words::ENDED)),
            ),
            (
                "it is to be dropped",
                |record| {
                    let session = record.spec.ingest.session;
                    record.spec.drop = Some(DropPublisher { session, reason: "Stop that.".into() });
                },
                Some((SessionEnd::Dropped, Refusal::Rejected, "Stop that.")),
            ),
            (
                "an earlier session was dropped",
                |record| {
                    record.spec.drop =
                        Some(DropPublisher { session: SessionId::generate(), reason: "x".into() });
                },
                None,
            ),
        ];
        for (case, change, expected) in cases {
            let mut record = fixtures::record();
            let (session, generation) = (record.spec.ingest.session, record.spec.ingest.generation);
            change(&mut record);
            let expected = expected.map(|(end, refusal, message)| Dismissal::new(end, refusal, message));
            let told = |asked| dismissal(Some(&record), session, generation, asked);
            assert_eq!(told(AskedToReconnect::No), expected, "{case}");
            let gone_over = expected.as_ref().is_some_and(|told| told.end == SessionEnd::TakenOver);
            let expected = if gone_over { Some(Dismissal::shutdown()) } else { expected };
            assert_eq!(told(AskedToReconnect::Yes), expected, "{case}, of one that was asked to reconnect");
        }
    }

    #[test]
    fn a_stream_that_the_directory_has_forgotten_is_over() {
        let told = dismissal(None, SessionId::generate(), Generation(1), AskedToReconnect::No);
        assert_eq!(told.map(|told| told.end), Some(SessionEnd::StreamOver));
    }
}
