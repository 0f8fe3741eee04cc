//! How clients name a room.

use caudal_livestream::StreamId;
use serde::Deserialize;

use crate::chat::answer::Answer;
use crate::chat::{ChatError, Position};

/// Which room, as `join_stream` and `leave_stream` take it: its stream's id, or an object.
pub(super) struct WhichRoom {
    pub(super) stream: StreamId,
    /// The last event that the client has.
    pub(super) since: Option<Position>,
}

impl WhichRoom {
    /// `data` is JSON.
    pub(super) fn read(data: &str) -> Result<Self, Answer> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Id(String),
            #[serde(rename_all = "camelCase")]
            Object {
                stream_id: String,
                since: Option<String>,
            },
        }
        let (id, since) = match serde_json::from_str(data) {
            Ok(Given::Id(id)) => (id, None),
            Ok(Given::Object { stream_id, since }) => (stream_id, since),
            Err(_) => return Err(Answer::malformed("expected a stream's id, or an object with `streamId`")),
        };
        let stream = id.parse().map_err(|_| Answer::from(ChatError::UnknownStream))?;
        // What is no position is one that is not known.
        Ok(Self { stream, since: since.and_then(|since| since.parse().ok()) })
    }
}
