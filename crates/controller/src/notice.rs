//! What happened to a stream, in words for people.

use std::fmt;

use caudal_livestream::record::{LiveStream, Phase};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, StreamId, WorkerId};

/// Something worth a line in the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The broadcast.
    pub stream: StreamId,
    /// The streamer's name.
    pub channel: String,
    /// What happened.
    pub kind: NoticeKind,
    /// The phase that it is in since then.
    pub phase: Phase,
    /// Its worker's epoch since then.
    pub epoch: Epoch,
    /// Its worker since then.
    pub worker: Option<WorkerId>,
}

/// What happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// A publisher was let in.
    Starting,
    /// It can be watched.
    WentLive,
    /// The publisher is away.
    Reconnecting,
    /// The publisher is back.
    Back,
    /// There is no worker for it, for this reason.
    NoWorker(String),
    /// Its worker was lost, or left, and another one has it; this is the new one's epoch.
    WorkerReplaced(Epoch),
    /// It goes over to the worker that it was being moved to; this is that one's epoch.
    Moved(Epoch),
    /// It is over, and why.
    Ended(String),
}

impl Notice {
    /// What the change from `before` to `after` says.
    pub fn of_change(before: Option<&LiveStream>, after: &LiveStream) -> Option<Self> {
        let was = before.map(|before| before.status.phase);
        let (is, epoch) = (after.status.phase, after.status.epoch);
        let worker = after.status.worker.map(|address| address.worker);
        let kind = if was == Some(is) {
            let before = before?.status.clone();
            if let Some(reason) =
                after.status.no_worker.as_ref().filter(|_| before.no_worker != after.status.no_worker)
            {
                let (stream, channel) = (after.spec.stream, after.spec.channel.clone());
                return Some(Self {
                    stream,
                    channel,
                    kind: NoticeKind::NoWorker(reason.clone()),
                    phase: is,
                    epoch,
                    worker,
                });
            }
            // Not the epoch alone: many may be tried before a worker takes the stream.
            let serving = worker?;
            if is.is_over() || epoch <= Epoch(1) || before.worker.is_some_and(|was| was.worker == serving) {
                return None;
            }
            let moved = before.next.is_some_and(|next| next.epoch == epoch);
            if moved { NoticeKind::Moved(epoch) } else { NoticeKind::WorkerReplaced(epoch) }
        } else {
            match is {
                Phase::Pending => NoticeKind::Starting,
                Phase::Live if was == Some(Phase::Reconnecting) => NoticeKind::Back,
                Phase::Live => NoticeKind::WentLive,
                Phase::Reconnecting => NoticeKind::Reconnecting,
                Phase::Ended | Phase::Failed => NoticeKind::Ended(end_in_words(after)),
                Phase::Starting | Phase::Ending | Phase::Unknown => return None,
            }
        };
        let (stream, channel) = (after.spec.stream, after.spec.channel.clone());
        Some(Self { stream, channel, kind, phase: is, epoch, worker })
    }
}

/// Why `stream` is over.
fn end_in_words(stream: &LiveStream) -> String {
    let LiveStream { spec, status } = stream;
    let dropped = spec.drop.as_ref().filter(|order| order.session == spec.ingest.session);
    match (status.end_reason, dropped) {
        // A ban drops the publisher and ends the broadcast, under the same reason as its owner would; the drop has the words.
        (Some(EndReason::EndedByOwner), Some(order)) => format!("its publisher was told: {}", order.reason),
        _ => status.reason.clone().unwrap_or_default(),
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.channel)?;
        match &self.kind {
            NoticeKind::Starting => f.write_str("connected, starting"),
            NoticeKind::WentLive => f.write_str("went live"),
            NoticeKind::Reconnecting => f.write_str("publisher lost, waiting for it to come back"),
            NoticeKind::Back => f.write_str("publisher is back"),
            NoticeKind::NoWorker(reason) => write!(f, "waits for a worker: {reason}"),
            NoticeKind::WorkerReplaced(epoch) => write!(f, "goes on with another worker (epoch {epoch})"),
            NoticeKind::Moved(epoch) => write!(f, "goes over to another worker (epoch {epoch})"),
            NoticeKind::Ended(reason) => write!(f, "ended: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use caudal_livestream::fixtures;
    use caudal_livestream::record::DropPublisher;

    use super::*;

    #[test]
    fn a_ban_is_told_from_an_end_by_the_owner() {
        let before = fixtures::record();
        let mut over = before.clone();
        over.status.phase = Phase::Ended;
        over.status.end_reason = Some(EndReason::EndedByOwner);
        over.status.reason = Some(EndReason::EndedByOwner.to_string());
        let said = |over: &LiveStream| Notice::of_change(Some(&before), over).unwrap().kind;
        assert_eq!(said(&over), NoticeKind::Ended("its owner or an administrator ended it".to_owned()));
        let reason = "This account may not stream.".to_owned();
        over.spec.drop = Some(DropPublisher { session: over.spec.ingest.session, reason });
        let banned = "its publisher was told: This account may not stream.";
        assert_eq!(said(&over), NoticeKind::Ended(banned.to_owned()));
        // With a new key the end says it by itself.
        over.status.end_reason = Some(EndReason::KeyRotated);
        over.status.reason = Some(EndReason::KeyRotated.to_string());
        assert_eq!(said(&over), NoticeKind::Ended("its stream key was changed".to_owned()));
    }
}
