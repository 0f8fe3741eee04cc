//! What an edge tells the api of its viewers: `POST /internal/audience`, every [`INTERVAL`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EdgeId, StreamId};

/// The viewers of some streams at one edge. An edge with more streams than fit sends several.
///
/// A message stands for itself: it says what each of its streams has now, and nothing of other streams. What nobody
/// repeats within [`SILENCE`] no longer counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudienceReport {
    /// Whose viewers.
    pub edge: EdgeId,
    /// Grows from message to message of an edge. One that is not above the highest seen of its edge was overtaken, and
    /// says nothing.
    pub sequence: u64,
    /// The edge stops: it has no viewers any more, and nothing of it counts after this.
    pub last: bool,
    /// At most [`MAX_COUNTS`].
    pub counts: Vec<ViewerCount>,
}

/// How many watch a stream at one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewerCount {
    /// What they watch.
    pub stream: StreamId,
    /// So many; zero forgets the stream.
    pub viewers: u32,
}

/// Where the api takes them.
pub const AUDIENCE_PATH: &str = "/internal/audience";
/// Between two reports of an edge.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// A count is good for so long: two reports may get lost.
pub const SILENCE: Duration = Duration::from_secs(15);
/// In one message: 35 KB of the 64 KiB that an internal request may have.
pub const MAX_COUNTS: usize = 500;
