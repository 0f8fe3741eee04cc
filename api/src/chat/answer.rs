//! What somebody in a room is answered, the same by every kind of socket.

use serde::Serialize;
use serde_json::value::RawValue;

use super::ChatError;
use super::draft::Event;
use super::moderation::Standing;
use crate::error::Error;
use crate::problem::status_and_code;

/// What came of a request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Done(Done),
    Refused(Refused),
}

#[derive(Debug, Serialize)]
pub(crate) struct Done {
    ok: bool,
    /// What was said, as everybody else hears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<RawValue>>,
    /// Who somebody is in the room, once they have said who they are.
    #[serde(rename = "self", skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    ok: bool,
    pub(super) code: &'static str,
    pub(super) detail: String,
    pub(super) retry_after_ms: Option<u64>,
}

impl Answer {
    pub(crate) fn done() -> Self {
        Self::Done(Done { ok: true, message: None, standing: None })
    }

    pub(super) fn said(event: &Event) -> Self {
        let message = event.message().and_then(|data| RawValue::from_string(data.to_owned()).ok());
        Self::Done(Done { ok: true, message, standing: None })
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    pub(super) fn introduced(standing: Option<Standing>) -> Self {
        Self::Done(Done { ok: true, message: None, standing })
    }

    /// What makes no sense.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::refused("malformed", detail)
    }

    pub(super) fn refused(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Refused(Refused { ok: false, code, detail: detail.into(), retry_after_ms: None })
    }
}

impl From<ChatError> for Answer {
    fn from(error: ChatError) -> Self {
        let wait = error.retry_after();
        Self::Refused(Refused {
            ok: false,
            code: error.code(),
            detail: error.to_string(),
            retry_after_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)),
        })
    }
}

impl From<&Error> for Answer {
    fn from(error: &Error) -> Self {
        if let Error::Chat(error) = error {
            return (*error).into();
        }
        let (_, code) = status_and_code(error);
        Self::Refused(Refused { ok: false, code, detail: error.to_string(), retry_after_ms: None })
    }
}

impl From<Result<(), Error>> for Answer {
    fn from(outcome: Result<(), Error>) -> Self {
        outcome.map_or_else(|error| Self::from(&error), |()| Self::done())
    }
}
