//! `live/{stream}/state-{epoch}.json`: what a worker leaves behind for its successor and for edges.
//!
//! Created empty to claim an epoch (create-if-absent), filled at the worker's first announcement, and written again
//! at each segment before the segment's playlist.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::record::WorkerAddress;
use crate::timeline::Implausible;
use crate::timeline::Timeline;
use crate::{Epoch, Generation, InstallationId, MediaTime, SessionId, StreamId, UnixMillis};

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
    /// Whose broadcast it is, and whether it is kept; none in files of versions that did not say.
    #[serde(default)]
    pub owner: Option<Ownership>,
    /// None while it is only a claim.
    pub filled: Option<FilledState>,
}

/// What says that a broadcast may be removed from storage that others may use too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ownership {
    /// The installation whose controller assigned it.
    pub installation: InstallationId,
    /// A recording: kept after its end.
    pub record: bool,
}

/// Why a state file's content is not what its name promises.
#[derive(Debug, Error)]
pub enum UnreadableState {
    /// Cut off, empty, garbled, or of a version that cannot be understood.
    #[error("not a state: {0}")]
    Json(#[from] serde_json::Error),
    /// Some of it is not what was written.
    #[error("its digest does not fit")]
    Digest,
    /// A whole state, of something else.
    #[error("a state of stream {0}, epoch {1}")]
    Other(StreamId, Epoch),
    /// No worker ever had such a timeline.
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

impl StoredState {
    /// The file's content: JSON whose last field is a digest of what stands before it.
    ///
    /// # Errors
    /// Cannot happen with the types that are written.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec(self)?;
        json.pop();
        let digest = digest(&json);
        json.extend_from_slice(DIGEST_FIELD);
        json.extend_from_slice(digest.as_bytes());
        json.extend_from_slice(DIGEST_END);
        Ok(json)
    }

    /// Reads the file `state-{epoch}.json` of `stream`. Storage is not trusted to give back what was written: a disk
    /// that lost power, or a restored backup, may give a part of it or another one's.
    ///
    /// # Errors
    /// [`UnreadableState`] when nothing can be taken up from it.
    pub fn read(stream: StreamId, epoch: Epoch, json: &[u8]) -> Result<Self, UnreadableState> {
        let state: Self = serde_json::from_slice(json)?;
        // Older versions wrote none.
        if let Some((signed, found)) = split_digest(json)
            && digest(signed).as_bytes() != found
        {
            return Err(UnreadableState::Digest);
        }
        if (state.stream, state.epoch) != (stream, epoch) {
            return Err(UnreadableState::Other(state.stream, state.epoch));
        }
        if let Some(FilledState { timeline, .. }) = &state.filled {
            if (timeline.stream, timeline.epoch) != (stream, epoch) {
                return Err(UnreadableState::Other(timeline.stream, timeline.epoch));
            }
            timeline.check()?;
        }
        Ok(state)
    }
}

fn split_digest(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, found) = json.strip_suffix(DIGEST_END)?.split_last_chunk::<DIGEST_LENGTH>()?;
    Some((before.strip_suffix(DIGEST_FIELD)?, found))
}

fn digest(json: &[u8]) -> String {
    hex::encode(Sha256::digest(json))
}

const DIGEST_FIELD: &[u8] = br#","digest":""#;
const DIGEST_END: &[u8] = br#""}"#;
/// SHA-256 in hex.
const DIGEST_LENGTH: usize = 64;

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
