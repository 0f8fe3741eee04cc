//! `live/{stream}/state-{epoch}.json`: what a worker leaves behind for its successor and for edges.
//!
//! Created empty to claim an epoch (create-if-absent), filled at the worker's first announcement, and written again
//! at each segment before the segment's playlist.

use serde::{Deserialize, Serialize};

use crate::record::WorkerAddress;
use crate::timeline::Timeline;
use crate::{Epoch, Generation, MediaTime, SessionId, StreamId, UnixMillis};

/// One epoch's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredState {
    /// The broadcast.
    pub stream: StreamId,
    /// The claim.
    pub epoch: Epoch,
    /// Who claimed it.
    pub worker: WorkerAddress,
    /// None while it is only a claim.
    pub filled: Option<FilledState>,
}

/// A timeline that can be taken up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilledState {
    /// The live window with its frozen headers.
    pub timeline: Timeline,
    /// How RTMP timestamps become media time, once media has come.
    pub clock: Option<InputClock>,
    /// True when the epoch ended in a hand-over and nothing will be added.
    pub closed: bool,
}

/// How a publisher's timestamps lie on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputClock {
    /// Whose timestamps.
    pub session: SessionId,
    /// Its generation.
    pub generation: Generation,
    /// Media time of RTMP timestamp 0 (unwrapped).
    pub offset: MediaTime,
    /// How often the 32-bit timestamp has wrapped.
    pub wraps: u32,
    /// The last RTMP timestamp, as sent.
    pub last_rtmp: u32,
    /// Wall clock of media time 0 in this discontinuity.
    pub date_anchor: UnixMillis,
}
