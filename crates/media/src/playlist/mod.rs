//! HLS playlists of a [`Timeline`]: the same text for every viewer.
//!
//! One media playlist serves low-latency players, plain players and caches (RFC 8216bis, version 9); the one for plain
//! file servers leaves out what such a server cannot answer.

mod date;
mod listed;
mod master;
mod media;
mod preroll;
mod stored;

pub use date::iso_8601;
pub use listed::listed;
pub use master::{master, names};
pub use media::{Delivery, media, next_part};
pub use stored::{closed, stored, stored_media};

use std::fmt;

use caudal_livestream::timeline::{Segment, Timeline};
use caudal_livestream::{Epoch, InitHash, MediaDuration, Msn, PartNumber};

/// The `Content-Type` of every playlist.
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// How far back a delta update reaches, `CAN-SKIP-UNTIL`: six target durations, the least that RFC 8216bis §4.4.3.8
/// allows.
pub fn can_skip_until(timeline: &Timeline) -> MediaDuration {
    target_durations(timeline, 6)
}

/// Target durations as media.
fn target_durations(timeline: &Timeline, count: u64) -> MediaDuration {
    MediaDuration::from_secs(u64::from(timeline.target_duration).saturating_mul(count))
}

/// `EXT-X-VERSION`: delta updates need 9, and a player should see the same one in every answer.
const VERSION: u32 = 9;

/// The file of a part, in its rendition's folder.
pub fn part_file(epoch: Epoch, number: PartNumber) -> String {
    format!("p{epoch}-{number}.m4s")
}

/// The file of a part of the lead-in's last segment, counted from 0, in its rendition's folder. `epoch` is that of the
/// first segment with media.
pub fn lead_in_part_file(epoch: Epoch, index: usize) -> String {
    format!("l{epoch}-{index}.m4s")
}

/// The file of a segment, in its rendition's folder.
pub fn segment_file(msn: Msn, epoch: Epoch) -> String {
    format!("{msn}-{epoch}.m4s")
}

/// The file of an initialization segment, in its rendition's folder.
pub fn init_file(hash: &InitHash) -> String {
    format!("init-{hash}.mp4")
}

/// A length in seconds with all six digits that the model has, so that no rounding lifts a part over PART-TARGET.
struct Seconds(MediaDuration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.0 / 1_000_000, self.0.0 % 1_000_000)
    }
}

/// A playlist as it grows.
#[derive(Default)]
struct Text(String);

impl Text {
    fn new() -> Self {
        let mut text = Self(String::with_capacity(4096));
        text.line(format_args!("#EXTM3U"));
        text.line(format_args!("#EXT-X-VERSION:{VERSION}"));
        text
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        use fmt::Write as _;
        // Writing into a String cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }
}

/// Writes what stands before a segment whose predecessor in the playlist is known: discontinuity, init, date.
#[derive(Default)]
struct SegmentHeads<'a> {
    discontinuity: Option<u64>,
    init: Option<&'a InitHash>,
}

impl<'a> SegmentHeads<'a> {
    fn write(&mut self, text: &mut Text, segment: &'a Segment) {
        self.follow(text, segment.discontinuity, segment.init.as_ref());
        text.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", iso_8601(segment.program_date_time)));
    }

    fn follow(&mut self, text: &mut Text, discontinuity: u64, init: Option<&'a InitHash>) {
        let passed = self.discontinuity.map_or(0, |last| discontinuity.saturating_sub(last));
        // A player counts the tags to know the sequence number, so a skipped number is written too.
        for _ in 0..passed.min(MAX_TAGS) {
            text.line(format_args!("#EXT-X-DISCONTINUITY"));
        }
        self.discontinuity = Some(discontinuity);
        self.map(text, init);
    }

    fn map(&mut self, text: &mut Text, init: Option<&'a InitHash>) {
        if let Some(init) = init
            && self.init != Some(init)
        {
            text.line(format_args!("#EXT-X-MAP:URI=\"{}\"", init_file(init)));
            self.init = Some(init);
        }
    }

    /// As after writing `segment`, without writing: a delta update's player has it from its last playlist.
    fn skip(&mut self, segment: &'a Segment) {
        self.discontinuity = Some(segment.discontinuity);
        if segment.init.is_some() {
            self.init = segment.init.as_ref();
        }
    }
}

/// Discontinuity numbers that can lie between two segments of one window; a damaged timeline must not fill memory.
const MAX_TAGS: u64 = 64;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
