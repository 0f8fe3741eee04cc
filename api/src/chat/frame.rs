//! What clients in rooms send as frames, and what they are told first.

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::hub::Joined;
use crate::notifications::Wanted;

/// What a client sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub(super) enum Request {
    /// Says who this is, and again when there is a new token.
    #[serde(alias = "refresh_auth")]
    Authenticate {
        token: String,
    },
    #[serde(rename_all = "camelCase")]
    SendMessage {
        /// The room's own, if it is said.
        stream_id: Option<StreamId>,
        message: String,
        client_msg_id: Option<String>,
        reply_to: Option<Uuid>,
    },
    DeleteMessage {
        id: Uuid,
    },
    /// That others are live, beside what happens in the room.
    SubscribeNotifications(Wanted),
    #[serde(rename_all = "camelCase")]
    TimeoutUser {
        user_id: Uuid,
        /// Null is for good, which has to be said.
        #[serde(deserialize_with = "Option::deserialize")]
        duration_seconds: Option<i32>,
        reason: Option<String>,
    },
    /// What is on the screen now, from which the latency follows.
    Watching {
        /// Its PROGRAM-DATE-TIME.
        playhead: DateTime<Utc>,
    },
    /// For browsers, whose pages do not see the server's pings.
    Ping {},
}

/// What somebody who enters a room is told of it.
pub(super) fn joined(stream: StreamId, joined: &Joined) -> Utf8Bytes {
    json!({ "event": "joined", "data": joined_data(stream, joined) }).to_string().into()
}

pub(super) fn joined_data(stream: StreamId, joined: &Joined) -> Value {
    json!({
        "streamId": stream,
        "epoch": joined.last.epoch,
        "offset": joined.last.offset,
        "recovered": joined.recovered,
        "viewerCount": joined.viewers,
        "messages": joined.lines,
        "settings": joined.settings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::{Id, read};

    #[test]
    fn a_frame_says_what_is_wanted_and_what_the_answer_is_called() {
        let frame =
            read::<Request>(r#"{"event":"send_message","data":{"message":"hola","clientMsgId":"7"},"id":3}"#)
                .unwrap();
        assert_eq!(frame.id, Some(Id::Number(3)));
        assert!(matches!(frame.request, Request::SendMessage { message, .. } if message == "hola"));
        let frame = read::<Request>(r#"{"event":"refresh_auth","data":{"token":"x"}}"#).unwrap();
        assert!(
            matches!(frame.request, Request::Authenticate { token } if token == "x") && frame.id.is_none()
        );
        for (text, id) in [
            (r#"{"event":"dance","data":{},"id":"a"}"#, Some(Id::Text("a".into()))),
            (r#"{"event":"send_message","id":1}"#, Some(Id::Number(1))),
            (r#"{"event":"send_message","data":{"message":7},"id":1}"#, Some(Id::Number(1))),
            (
                r#"{"event":"timeout_user","data":{"userId":"00000000-0000-0000-0000-000000000000"},"id":1}"#,
                Some(Id::Number(1)),
            ),
            (r#"{"event":"watching","data":{"playhead":2.5},"id":1}"#, Some(Id::Number(1))),
            (r#"{"event":"watching","data":{"playhead":"now"},"id":1}"#, Some(Id::Number(1))),
            ("[]", None),
            ("", None),
            ("\0", None),
        ] {
            assert_eq!(read::<Request>(text).unwrap_err().0, id, "{text}");
        }
    }
}
