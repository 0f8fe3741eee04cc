//! The media playlist in storage, for any file server or CDN.

use caudal_livestream::timeline::{Segment, Timeline, Track};

use super::{Seconds, SegmentHeads, Text, segment_file};

/// `{rendition}/index.m3u8` as storage holds it: the segments that are in storage, without parts or blocking, which a
/// file server cannot do. Ends before the first segment that is not stored yet, and with `EXT-X-ENDLIST` when the
/// broadcast is over and none is missing.
pub fn stored_media(timeline: &Timeline, track: &Track) -> String {
    let first = track.segments.front();
    let mut text = Text::new();
    text.line(format_args!("#EXT-X-TARGETDURATION:{}", timeline.target_duration));
    text.line(format_args!("#EXT-X-MEDIA-SEQUENCE:{}", first.map_or(timeline.first_msn, |s| s.msn)));
    text.line(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", first.map_or(0, |s| s.discontinuity)));
    let mut heads = SegmentHeads::default();
    for segment in stored(track) {
        heads.write(&mut text, segment);
        if segment.gap {
            text.line(format_args!("#EXT-X-GAP"));
        }
        text.line(format_args!("#EXTINF:{},", Seconds(segment.duration)));
        text.line(format_args!("{}", segment_file(segment.msn, segment.epoch)));
    }
    if timeline.ended && stored(track).count() == track.segments.len() {
        text.line(format_args!("{ENDLIST}"));
    }
    text.0
}

/// What the stored playlist of a track names: its segments, gaps among them, before the first that is not stored yet.
pub fn stored(track: &Track) -> impl Iterator<Item = &Segment> {
    track.segments.iter().take_while(|segment| segment.is_served_from_storage())
}

/// A stored media playlist with `EXT-X-ENDLIST`, for when nobody knows more of the broadcast than its text. None when
/// it says so already, or is no playlist. A tail that was cut off in the middle of a segment's lines is left out.
pub fn closed(stored: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(stored).ok().filter(|text| text.starts_with("#EXTM3U\n"))?;
    let lines = || text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    if lines().any(|line| line.trim_end() == ENDLIST) {
        return None;
    }
    let names_a_file = |line: &str| !line.starts_with('#') && !line.trim_end().is_empty();
    let last_file = lines().collect::<Vec<_>>().iter().rposition(|line| names_a_file(line));
    let begun = || lines().position(|line| line.starts_with("#EXTINF")).unwrap_or(usize::MAX);
    let kept = last_file.map_or_else(begun, |last| last.saturating_add(1));
    Some(lines().take(kept).chain([ENDLIST, "\n"]).collect())
}

const ENDLIST: &str = "#EXT-X-ENDLIST";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_that_was_cut_off_anywhere_is_closed_behind_its_last_whole_segment() {
        let whole = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-MAP:URI=\"init-a.mp4\"\n#EXTINF:2.0,\n7-1.m4s\n#EXTINF:2.0,\n8-1.m4s\n";
        for length in 0..=whole.len() {
            let Some(closed) = closed(&whole.as_bytes()[..length]) else {
                assert!(length < "#EXTM3U\n".len(), "{length}");
                continue;
            };
            let Some((before, "")) = closed.split_once("#EXT-X-ENDLIST\n") else { panic!("{closed}") };
            assert!(whole.starts_with(before), "{closed}");
            assert_eq!(before.matches("#EXTINF").count(), before.matches(".m4s\n").count(), "{closed}");
            assert_eq!(super::closed(closed.as_bytes()), None, "it is closed once");
        }
        assert_eq!(closed(b"<html>"), None);
        assert_eq!(closed(&[0xff; 64]), None);
    }
}
