//! What the controller tells the api, `POST /internal/ingest/{published,done}`: signed, retried until acknowledged,
//! idempotent by (stream, event).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::admission::BroadcastHints;
use crate::{StreamId, UnixMillis};

/// The first segment can be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The broadcast.
    pub stream: StreamId,
    /// When its first segment was announced.
    pub started_at: UnixMillis,
}

/// The broadcast is over. Terminal; implies `published` when `published` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// The broadcast.
    pub stream: StreamId,
    /// Whether anything could ever be watched.
    pub published: bool,
    /// When its first segment was announced, if one was.
    pub started_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: UnixMillis,
    /// Why.
    pub reason: EndReason,
    /// What it was like, for the channel's next broadcast.
    pub hints: Option<BroadcastHints>,
}

/// Why a broadcast ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The publisher said good-bye and did not come back in the window.
    Unpublished,
    /// The publisher was lost and did not come back in the window.
    PublisherLost,
    /// Its owner or a moderator ended it.
    EndedByOwner,
    /// The stream key was rotated.
    KeyRotated,
    /// No first segment within the starting deadline.
    StartTimeout,
    /// Workers kept dying on it.
    WorkersLost,
    /// The platform was stopped.
    Shutdown,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpublished => "the publisher stopped",
            Self::PublisherLost => "the publisher was lost and did not come back",
            Self::EndedByOwner => "its owner ended it",
            Self::KeyRotated => "its stream key was changed",
            Self::StartTimeout => "no picture came within a minute",
            Self::WorkersLost => "its workers kept failing",
            Self::Shutdown => "the server was stopped",
        })
    }
}
