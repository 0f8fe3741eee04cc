//! What goes over a WebSocket in raw JSON: `{"event":…,"data":…}`, with an `id` where an answer is wanted.

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::hub::Joined;

/// What a client sends.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    #[serde(flatten)]
    pub(super) request: Request,
    /// Any number or text; the answer has the same.
    pub(super) id: Option<Id>,
}

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
    /// For browsers, whose pages do not see the server's pings.
    Ping {},
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    Number(u64),
    Text(String),
}

/// Reads a frame; its id even where the rest makes no sense.
pub(super) fn read(text: &str) -> Result<Frame, (Option<Id>, String)> {
    serde_json::from_str(text).map_err(|error| {
        #[derive(Deserialize)]
        struct Named {
            id: Option<Id>,
        }
        let id = serde_json::from_str(text).ok().and_then(|Named { id }| id);
        let words = error.to_string();
        (id, words.split(" at line ").next().unwrap_or(&words).to_owned())
    })
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
    })
}

/// Of the server's own accord.
pub(super) fn error(code: &str, detail: &str) -> Utf8Bytes {
    json!({ "event": "error", "data": { "code": code, "detail": detail } }).to_string().into()
}

pub(super) fn ack(id: Option<&Id>, answer: &Answer) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Ack<'a> {
        event: &'static str,
        id: Option<&'a Id>,
        data: &'a Answer,
    }
    serde_json::to_string(&Ack { event: "ack", id, data: answer }).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_what_is_wanted_and_what_the_answer_is_called() {
        let frame =
            read(r#"{"event":"send_message","data":{"message":"hola","clientMsgId":"7"},"id":3}"#).unwrap();
        assert_eq!(frame.id, Some(Id::Number(3)));
        assert!(matches!(frame.request, Request::SendMessage { message, .. } if message == "hola"));
        let frame = read(r#"{"event":"refresh_auth","data":{"token":"x"}}"#).unwrap();
        assert!(
            matches!(frame.request, Request::Authenticate { token } if token == "x") && frame.id.is_none()
        );
        for (text, id) in [
            (r#"{"event":"dance","data":{},"id":"a"}"#, Some(Id::Text("a".into()))),
            (r#"{"event":"send_message","id":1}"#, Some(Id::Number(1))),
            (r#"{"event":"send_message","data":{"message":7},"id":1}"#, Some(Id::Number(1))),
            ("[]", None),
            ("", None),
            ("\0", None),
        ] {
            assert_eq!(read(text).unwrap_err().0, id, "{text}");
        }
    }
}
