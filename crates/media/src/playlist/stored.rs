//! The media playlist in storage, for any file server or CDN.

use caudal_livestream::timeline::{SegmentPhase, Timeline, Track};

use super::{Seconds, SegmentHeads, Text, segment_file};

/// `{rendition}/index.m3u8` as storage holds it: the segments that are in storage, without parts or blocking, which a
/// file server cannot do. Ends before the first segment that is not stored yet, and with `EXT-X-ENDLIST` when the
/// broadcast is over and none is missing.
pub fn stored_media(timeline: &Timeline, track: &Track) -> String {
    let stored = track
        .segments
        .iter()
        .take_while(|s| s.phase == SegmentPhase::Stored || (s.gap && s.phase != SegmentPhase::Open));
    let count = stored.clone().count();
    let first = track.segments.front();
    let mut text = Text::new();
    text.line(format_args!("#EXT-X-TARGETDURATION:{}", timeline.target_duration));
    text.line(format_args!("#EXT-X-MEDIA-SEQUENCE:{}", first.map_or(timeline.first_msn, |s| s.msn)));
    text.line(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", first.map_or(0, |s| s.discontinuity)));
    let mut heads = SegmentHeads::default();
    for segment in stored {
        heads.write(&mut text, segment);
        if segment.gap {
            text.line(format_args!("#EXT-X-GAP"));
        }
        text.line(format_args!("#EXTINF:{},", Seconds(segment.duration)));
        text.line(format_args!("{}", segment_file(segment.msn, segment.epoch)));
    }
    if timeline.ended && count == track.segments.len() {
        text.line(format_args!("#EXT-X-ENDLIST"));
    }
    text.0
}
