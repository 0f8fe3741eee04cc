//! What goes over a WebSocket in raw JSON: `{"event":…,"data":…}`, with an `id` where an answer is wanted.

use axum::extract::ws::Utf8Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::json::words_of;

/// What a client sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Frame<R> {
    #[serde(flatten)]
    pub(crate) request: R,
    /// Any number or text; the answer has the same.
    pub(crate) id: Option<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`id` is to be a number or a text")]
pub(crate) enum Id {
    Number(u64),
    Text(String),
}

/// Reads a frame; its id even where the rest makes no sense.
pub(crate) fn read<R: DeserializeOwned>(text: &str) -> Result<Frame<R>, (Option<Id>, String)> {
    serde_json::from_str(text).map_err(|error| {
        #[derive(Deserialize)]
        struct Named {
            id: Option<Id>,
        }
        let id = serde_json::from_str(text).ok().and_then(|Named { id }| id);
        (id, words_of(&error))
    })
}

/// Of the server's own accord.
pub(crate) fn error(code: &str, detail: &str) -> Utf8Bytes {
    json!({ "event": "error", "data": { "code": code, "detail": detail } }).to_string().into()
}

pub(crate) fn ack(id: Option<&Id>, answer: &impl Serialize) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Ack<'a, A> {
        event: &'static str,
        id: Option<&'a Id>,
        data: &'a A,
    }
    serde_json::to_string(&Ack { event: "ack", id, data: answer }).unwrap_or_default().into()
}
