//! `log/{epoch}-{k}.json`: what recordings and DVR playlists are rendered from.

use caudal_livestream::timeline::{Segment, TrackMedia};
use caudal_livestream::{Epoch, RenditionName, StreamId};
use serde::{Deserialize, Serialize};

/// About a minute of finished segments, of every rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentLog {
    /// The stream that it belongs to.
    pub stream: StreamId,
    /// The worker assignment that wrote it.
    pub epoch: Epoch,
    /// Counts the epoch's logs from 0.
    pub number: u32,
    /// `EXT-X-TARGETDURATION` in seconds.
    pub target_duration: u32,
    /// The renditions in the order of the master playlist.
    pub tracks: Vec<LoggedTrack>,
}

/// One rendition's part of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedTrack {
    /// Its name.
    pub name: RenditionName,
    /// What it carries.
    pub media: TrackMedia,
    /// RFC 6381 codecs string.
    pub codecs: String,
    /// Its segments, oldest first.
    pub segments: Vec<Segment>,
}
