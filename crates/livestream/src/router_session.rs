//! What a router says of a publisher that it holds: `GET /session/{stream}`.

use serde::{Deserialize, Serialize};

use crate::StreamId;
use crate::feed::InputState;
use crate::record::MediaInfo;

/// A publisher as its router sees it. Other routers judge by `input`, the studio shows `media`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterSession {
    /// Whether it is there.
    #[serde(flatten)]
    pub input: InputState,
    /// What it sends, measured within the last second or two; none before that, and once it has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaInfo>,
    /// The router has asked it to come back on another connection: whoever comes with its key is that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked_to_reconnect: bool,
}

/// The path of a question about `stream`.
pub fn session_path(stream: StreamId) -> String {
    format!("/session/{stream}")
}
