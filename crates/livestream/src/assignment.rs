//! What the controller tells a worker to do, `PUT /assignment`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::admission::{BroadcastHints, LadderRung, LatencyMode};
use crate::credentials::{Recipient, SealedCredentials};
use crate::proof::{Proof, ProofDigest};
use crate::{Epoch, Generation, MediaTime, Msn, StreamId, UnixMillis, WorkerId};

/// One worker's orders for one stream. Travels signed ([`crate::proof::SignedAssignment`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Whom it is for; another worker refuses it.
    pub worker: WorkerId,
    /// The stream.
    pub stream: StreamId,
    /// A lower one than the worker has is a 409.
    pub epoch: Epoch,
    /// The lowest publisher generation to accept.
    pub generation: Generation,
    /// What to do.
    pub mode: AssignmentMode,
    /// The last announced position that the controller saw; none for a new stream.
    pub floor: Option<Floor>,
    /// Renditions below the source.
    pub ladder: Vec<LadderRung>,
    /// Low-latency parts or not.
    pub latency_mode: LatencyMode,
    /// Keep everything after the live window.
    pub record: bool,
    /// What the channel's last broadcast was like.
    pub hints: Option<BroadcastHints>,
    /// Digest of the router's proof for this stream and epoch.
    pub input_key_digest: ProofDigest,
    /// Digest of the edge's and controller's proof for this stream and epoch.
    pub feed_key_digest: ProofDigest,
    /// Digests of the proofs that the router may show instead, while its key is changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_input_key_digests: Vec<ProofDigest>,
    /// The same of edge and controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_feed_key_digests: Vec<ProofDigest>,
    /// What the worker writes to storage with, where it has no credentials of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SealedCredentials>,
    /// After this the assignment is no longer to be taken.
    pub expires: UnixMillis,
}

impl Assignment {
    /// Whom its credentials are sealed for.
    pub fn recipient(&self) -> Recipient {
        Recipient { worker: self.worker, stream: self.stream, epoch: self.epoch }
    }

    /// Whether `proof` is the router's.
    pub fn knows_router(&self, proof: &Proof) -> bool {
        std::iter::once(&self.input_key_digest)
            .chain(&self.other_input_key_digests)
            .any(|digest| digest.accepts(proof))
    }

    /// Whether `proof` is that of an edge or the controller.
    pub fn knows_reader(&self, proof: &Proof) -> bool {
        std::iter::once(&self.feed_key_digest)
            .chain(&self.other_feed_key_digests)
            .any(|digest| digest.accepts(proof))
    }
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AssignmentMode {
    /// Take the publisher and write.
    Live,
    /// Get ready for a hand-over; claim the epoch only at `handoff`.
    Prepare,
    /// To a new worker: write ENDLIST after what is stored, and nothing else. To the worker that has this very epoch
    /// live: let the publisher go, close the open segment, write ENDLIST. Both then say [`End`] on the feed.
    ///
    /// [`End`]: crate::feed::Event::End
    Finish,
}

/// A position that has been announced to viewers, behind which a new worker must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Floor {
    /// The highest announced segment.
    pub msn: Msn,
    /// Its discontinuity sequence.
    pub discontinuity: u64,
    /// Where its announced media ends.
    pub media_end: MediaTime,
    /// The epoch in the segment's name: no segment before it bears a higher one. The release before does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// The line that a worker prints on its standard output once its listeners are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReady {
    /// Who.
    pub worker: WorkerId,
    /// Where the router publishes to.
    pub rtmp: SocketAddr,
    /// Where assignment, input, feed, media, health and metrics are.
    pub http: SocketAddr,
}
