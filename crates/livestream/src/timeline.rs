//! What of a stream has been announced: the one model behind the feed, the stored state, playlists and the manifest.
//!
//! The worker and every reader of its feed hold the same [`Timeline`] and change it only by
//! [`Timeline::apply`], so a snapshot and the events after it can never disagree.

mod bounded_list;
mod captions;
mod media;
mod plausible;
mod tracks;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::feed::Event;
use crate::{
    Epoch, InitHash, MediaDuration, MediaTime, Msn, PartNumber, RenditionName, StreamId, UnixMillis,
};

pub use captions::{CaptionChannel, UnknownCaptionChannel};
pub use plausible::{HIGHEST_NUMBER, Implausible};

/// The name of the rendition that carries what the publisher sends.
pub const SOURCE: &str = "source";

/// All renditions of one stream over its live window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// Whose it is.
    pub stream: StreamId,
    /// The worker assignment that writes it.
    pub epoch: Epoch,
    /// `EXT-X-TARGETDURATION` in seconds, frozen before the first playlist.
    pub target_duration: u32,
    /// `PART-HOLD-BACK`: three times the largest part target of all tracks, frozen too.
    pub part_hold_back: MediaDuration,
    /// The first media sequence number that this broadcast ever had, in any epoch.
    pub first_msn: Msn,
    /// The renditions in the order of the master playlist: the source video first, then rungs by size, audio last. Those
    /// that carry what only a newer version knows are left out.
    #[serde(deserialize_with = "tracks::known")]
    pub tracks: Vec<Track>,
    /// The channels on which captions have come so far, in order; every video rendition has them. Older versions did
    /// not look, and those of newer ones that this one does not know are left out.
    #[serde(default, deserialize_with = "captions::known", skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<CaptionChannel>,
    /// True when nothing will follow: playlists get `EXT-X-ENDLIST`.
    pub ended: bool,
}

/// One rendition: one CMAF track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// Its name, and its folder.
    pub name: RenditionName,
    /// What it carries.
    pub media: TrackMedia,
    /// RFC 6381 codecs string, such as `avc1.64001f`.
    pub codecs: String,
    /// Highest bit rate of a segment, in bits a second, as the master playlist says it.
    pub peak_bandwidth: u32,
    /// Average bit rate in bits a second.
    pub average_bandwidth: u32,
    /// `PART-TARGET`, frozen.
    pub part_target: MediaDuration,
    /// The live window, oldest first. Only the last may be [`SegmentPhase::Open`].
    pub segments: VecDeque<Segment>,
    /// True while the track is out of the master playlist, and its own playlist is 404: nobody makes it, or it
    /// has returned and has fewer than three new segments. A snapshot brings it back.
    #[serde(default)]
    pub withdrawn: bool,
}

/// What a track carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", try_from = "media::Fields")]
pub enum TrackMedia {
    /// Pictures.
    #[serde(rename_all = "camelCase")]
    Video {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Frames a thousand seconds (29970 is 29.97 frames a second).
        frame_rate_milli: u32,
        /// How their samples are to be understood. Older versions did not say.
        #[serde(default, skip_serializing_if = "VideoRange::is_sdr")]
        range: VideoRange,
    },
    /// Sound.
    #[serde(rename_all = "camelCase")]
    Audio {
        /// Samples a second.
        sample_rate: u32,
        /// Channels.
        channels: u8,
    },
}

/// How samples become light, as `VIDEO-RANGE` says it (RFC 8216bis §4.4.6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VideoRange {
    /// Hybrid log-gamma (ARIB STD-B67, ITU-R BT.2100).
    Hlg,
    /// Perceptual quantizer (SMPTE ST 2084, ITU-R BT.2100).
    Pq,
    /// Standard dynamic range; and what a newer version calls otherwise, because every player shows that somehow.
    #[default]
    #[serde(other)]
    Sdr,
}

/// A media segment of one rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Its number.
    pub msn: Msn,
    /// The assignment that wrote it: part of its file name, `{msn}-{epoch}.m4s`.
    pub epoch: Epoch,
    /// Where it begins.
    pub start: MediaTime,
    /// How long it is; so far, while it is open.
    pub duration: MediaDuration,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` that it belongs to. One more than its predecessor's means a discontinuity between.
    pub discontinuity: u64,
    /// `EXT-X-PROGRAM-DATE-TIME` of its first frame.
    pub program_date_time: UnixMillis,
    /// The initialization segment that it needs, `init-{hash}.mp4`; none for a gap before any media.
    pub init: Option<InitHash>,
    /// What is known of it.
    pub phase: SegmentPhase,
    /// True when it holds no media: `EXT-X-GAP`.
    #[serde(default)]
    pub gap: bool,
    /// True when it begins with a keyframe (audio always).
    pub independent: bool,
    /// True for a broadcast's first segment where players may be shown a lead-in before it: it begins with sound, or with a
    /// picture that may be sent again, and there is room on the timeline.
    #[serde(default, skip_serializing_if = "is_false")]
    pub lead_in: bool,
    /// Bytes; so far, while it is open.
    pub size: u64,
    /// Its parts, in order: byte `i` of the segment is byte `i` of the parts laid end to end. Empty for a segment
    /// that was made without parts.
    pub parts: Vec<Part>,
}

/// How far a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SegmentPhase {
    /// Parts still come.
    Open,
    /// Whole, in storage, never to change.
    Stored,
    /// Whole, in the worker's memory; and what a newer version calls otherwise: whoever wants it looks at the worker and in
    /// storage, and expects no more parts.
    #[serde(other)]
    Finished,
}

/// A partial segment, `p{epoch}-{number}.m4s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Its number in its rendition and epoch.
    pub number: PartNumber,
    /// How long it is.
    pub duration: MediaDuration,
    /// Bytes.
    pub size: u32,
    /// `INDEPENDENT=YES`: it holds a keyframe at its beginning (audio always).
    pub independent: bool,
}

/// Why an event cannot follow what is known: the reader gives the feed up, and asks for a new snapshot.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TimelineGap {
    /// The event belongs after another one that never came.
    #[error("segment {found} of {rendition} does not follow")]
    OutOfOrder {
        /// The rendition it belongs to.
        rendition: RenditionName,
        /// The number that came.
        found: Msn,
    },
    /// No worker can have come to it. A compromised one may say anything, and readers keep what it says.
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

impl Timeline {
    /// Takes in one announcement. A rendition that the snapshot did not have is one that this version cannot read, and so
    /// is nothing to it.
    ///
    /// # Errors
    /// [`TimelineGap`] when it does not follow what is known; the timeline is then unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), TimelineGap> {
        match event {
            Event::Snapshot(whole) => {
                whole.check()?;
                *self = whole.as_ref().clone();
            }
            Event::Part(announced) => self.apply_part(announced)?,
            Event::Segment(announced) => {
                let epoch = self.epoch;
                let Some(track) = self.track_mut(&announced.rendition) else { return Ok(()) };
                plausible::check_announced(track, epoch, &announced.segment)?;
                let found = announced.segment.msn;
                match track.segments.back_mut() {
                    Some(last) if last.msn == found && last.phase == SegmentPhase::Open => {
                        *last = announced.segment.clone();
                    }
                    Some(last) if last.msn.next() == found && last.phase != SegmentPhase::Open => {
                        track.segments.push_back(announced.segment.clone());
                    }
                    None => track.segments.push_back(announced.segment.clone()),
                    Some(_) => {
                        return Err(TimelineGap::OutOfOrder {
                            rendition: announced.rendition.clone(),
                            found,
                        });
                    }
                }
                track.peak_bandwidth = track.peak_bandwidth.max(announced.peak_bandwidth);
                track.average_bandwidth = announced.average_bandwidth;
                while track.segments.front().is_some_and(|first| first.msn < announced.window_start) {
                    track.segments.pop_front();
                }
            }
            Event::Stored { rendition, msn } => {
                let track = self.track_mut(rendition);
                if let Some(segment) = track.and_then(|t| t.segments.iter_mut().find(|s| s.msn == *msn))
                    && segment.phase == SegmentPhase::Finished
                {
                    segment.phase = SegmentPhase::Stored;
                }
            }
            Event::Withdrawn { rendition } => {
                if let Some(track) = self.track_mut(rendition) {
                    track.withdrawn = true;
                }
            }
            Event::End => self.ended = true,
            Event::Input(_) | Event::Heartbeat | Event::Floor(_) | Event::Reached(_) => {}
        }
        Ok(())
    }

    /// The rendition of that name.
    pub fn track(&self, name: &RenditionName) -> Option<&Track> {
        self.tracks.iter().find(|track| track.name == *name)
    }

    fn track_mut(&mut self, name: &RenditionName) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.name == *name)
    }

    fn apply_part(&mut self, announced: &crate::feed::PartAnnounced) -> Result<(), TimelineGap> {
        let epoch = self.epoch;
        let Some(track) = self.track_mut(&announced.rendition) else { return Ok(()) };
        plausible::check_part(track, &announced.part)?;
        let found = announced.msn;
        let gap = || TimelineGap::OutOfOrder { rendition: announced.rendition.clone(), found };
        let opens = match track.segments.back() {
            None => true,
            Some(last) if last.phase == SegmentPhase::Open => {
                if last.msn != found {
                    return Err(gap());
                }
                false
            }
            Some(last) if last.msn.next() == found => true,
            Some(_) => return Err(gap()),
        };
        if opens {
            let is_begun = |opens: &&Segment| opens.msn == found && opens.phase == SegmentPhase::Open;
            let opens = announced.opens.as_deref().filter(is_begun).ok_or_else(gap)?;
            plausible::check_announced(track, epoch, opens)?;
            track.segments.push_back(opens.clone());
        }
        if let Some(open) = track.segments.back_mut() {
            open.duration.0 = open.duration.0.saturating_add(announced.part.duration.0);
            open.size = open.size.saturating_add(u64::from(announced.part.size));
            open.parts.push(announced.part);
        }
        Ok(())
    }
}

impl VideoRange {
    /// Whether it is SDR, which is left out of the JSON.
    pub fn is_sdr(&self) -> bool {
        *self == Self::Sdr
    }
}

impl Track {
    /// The last position that a reader can ask for: segment and how many parts of it there are.
    pub fn edge(&self) -> Option<(Msn, usize)> {
        self.segments.back().map(|last| (last.msn, last.parts.len()))
    }

    /// True for pictures.
    pub fn is_video(&self) -> bool {
        matches!(self.media, TrackMedia::Video { .. })
    }

    /// True for pictures that are made from the source's.
    pub fn is_rung(&self) -> bool {
        self.is_video() && self.name.as_str() != SOURCE
    }
}

impl Segment {
    /// True when a plain file server can serve it: it is in storage, or it is a gap that does not grow any more.
    pub fn is_served_from_storage(&self) -> bool {
        self.phase == SegmentPhase::Stored || (self.gap && self.phase != SegmentPhase::Open)
    }

    /// Its media is lost. What it was listed as stays: name, place and length.
    pub fn become_gap(&mut self) {
        self.gap = true;
        self.phase = SegmentPhase::Finished;
        self.parts.clear();
        self.size = 0;
        self.independent = false;
        self.lead_in = false;
    }

    /// Where `number` lies in the segment: offset and length in bytes.
    pub fn part_range(&self, number: PartNumber) -> Option<(u64, u32)> {
        let mut offset = 0_u64;
        for part in &self.parts {
            if part.number == number {
                return Some((offset, part.size));
            }
            offset = offset.saturating_add(u64::from(part.size));
        }
        None
    }
}

/// Leaves `lead_in` out of the JSON of all segments but one.
fn is_false(value: &bool) -> bool {
    !value
}
