//! What happened to a stream, in words for people.

use std::fmt;

use caudal_livestream::record::{LiveStream, Phase};
use caudal_livestream::{Epoch, StreamId};

/// Something worth a line in the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The broadcast.
    pub stream: StreamId,
    /// Whose.
    pub channel: String,
    /// What happened.
    pub kind: NoticeKind,
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
    /// Its worker was lost, or left, and another one has it; this is the new one's epoch.
    WorkerReplaced(Epoch),
    /// It went over to the worker that it was being moved to; this is that one's epoch.
    Moved(Epoch),
    /// It is over, and why.
    Ended(String),
}

impl Notice {
    /// What the change from `before` to `after` says.
    pub fn of_change(before: Option<&LiveStream>, after: &LiveStream) -> Option<Self> {
        let was = before.map(|before| before.status.phase);
        let is = after.status.phase;
        let kind = if was == Some(is) {
            let before = before?.status.clone();
            // Not the epoch alone: many may be tried before a worker takes the stream.
            let serving = after.status.worker?.worker;
            let epoch = after.status.epoch;
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
                Phase::Ended | Phase::Failed => {
                    NoticeKind::Ended(after.status.reason.clone().unwrap_or_default())
                }
                Phase::Starting | Phase::Ending | Phase::Unknown => return None,
            }
        };
        Some(Self { stream: after.spec.stream, channel: after.spec.channel.clone(), kind })
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
            NoticeKind::WorkerReplaced(epoch) => write!(f, "goes on with another worker (epoch {epoch})"),
            NoticeKind::Moved(epoch) => write!(f, "moved to another worker (epoch {epoch})"),
            NoticeKind::Ended(reason) => write!(f, "ended: {reason}"),
        }
    }
}
