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
    /// With [`EndReason::NothingPlayable`]: what came of the publisher, in words for the streamer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
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
    /// The publisher sent nothing, or media of which nothing can be packaged.
    NothingPlayable,
    /// No worker could be got for it.
    NoCapacity,
    /// Workers kept dying on it.
    WorkersLost,
    /// The platform was stopped.
    Shutdown,
    /// Something that this release does not know.
    #[serde(other)]
    Unknown,
}

impl EndReason {
    /// The reason with what is known beyond it, as people are told it.
    pub fn in_words(self, detail: Option<&str>) -> String {
        detail.map_or_else(|| self.to_string(), |detail| format!("{self}: {detail}"))
    }

    /// Whether the streamer wanted something else, and should find out why it did not come to that.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::StartTimeout | Self::NothingPlayable | Self::NoCapacity | Self::WorkersLost)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpublished => "the publisher stopped",
            Self::PublisherLost => "the publisher was lost and did not come back",
            Self::EndedByOwner => "its owner or an administrator ended it",
            Self::KeyRotated => "its stream key was changed",
            Self::StartTimeout => "no picture came within a minute",
            Self::NothingPlayable => "what was sent cannot be played",
            Self::NoCapacity => "the platform had no worker for it",
            Self::WorkersLost => "its workers kept failing",
            Self::Shutdown => "the server was stopped",
            Self::Unknown => "it ended",
        })
    }
}
