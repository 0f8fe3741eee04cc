//! A rendition's live playlist.

use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track};
use caudal_livestream::{MediaDuration, Msn, PartNumber};

use super::preroll::Preroll;
use super::{Seconds, SegmentHeads, Text, can_skip_until, listed, part_file, segment_file, target_durations};

/// How much of a playlist a player asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// All of it.
    #[default]
    Full,
    /// Without what lies before the skip boundary (`_HLS_skip`); all of it when nothing does.
    Delta,
}

/// `{rendition}/index.m3u8` as the edge answers it.
pub fn media(timeline: &Timeline, track: &Track, delivery: Delivery) -> String {
    let preroll = Preroll::of(timeline, track);
    let segments: Vec<&Segment> = listed(timeline, track).collect();
    let mut text = Text::new();
    header(&mut text, timeline, track, preroll.as_ref());
    let skipped = match delivery {
        Delivery::Full => 0,
        Delivery::Delta => skippable(timeline, &segments, preroll.as_ref()),
    };
    if skipped > 0 {
        text.line(format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
    }

    let mut heads = SegmentHeads::default();
    let before = preroll.as_ref().map_or(0, Preroll::count);
    if let Some(preroll) = &preroll {
        preroll.write(&mut text, &mut heads, skipped);
    }
    let skipped_media = usize::try_from(skipped.saturating_sub(before)).unwrap_or(usize::MAX);
    let parts_from = parts_from(timeline, &segments);
    for (index, segment) in segments.into_iter().enumerate() {
        if index < skipped_media {
            heads.skip(segment);
        } else {
            write_segment(&mut text, &mut heads, segment, index >= parts_from);
        }
    }

    if timeline.ended {
        text.line(format_args!("#EXT-X-ENDLIST"));
    } else {
        let next = next_part(timeline, track);
        text.line(format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"", part_file(timeline.epoch, next)));
        reports(&mut text, timeline, track);
    }
    text.0
}

/// The number of the part that comes next in this rendition, in the timeline's epoch.
pub fn next_part(timeline: &Timeline, track: &Track) -> PartNumber {
    track
        .segments
        .iter()
        .rev()
        .take_while(|segment| segment.epoch == timeline.epoch)
        .find_map(|segment| segment.parts.last())
        .map_or(PartNumber(0), |last| PartNumber(last.number.0.saturating_add(1)))
}

fn header(text: &mut Text, timeline: &Timeline, track: &Track, preroll: Option<&Preroll<'_>>) {
    let first = track.segments.front();
    let sequence = preroll.map_or_else(|| first.map_or(timeline.first_msn, |s| s.msn), Preroll::first_msn);
    text.line(format_args!("#EXT-X-TARGETDURATION:{}", timeline.target_duration));
    text.line(format_args!(
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={},CAN-SKIP-UNTIL={}",
        Seconds(timeline.part_hold_back),
        Seconds(can_skip_until(timeline))
    ));
    text.line(format_args!("#EXT-X-PART-INF:PART-TARGET={}", Seconds(track.part_target)));
    text.line(format_args!("#EXT-X-MEDIA-SEQUENCE:{sequence}"));
    text.line(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", first.map_or(0, |s| s.discontinuity)));
}

fn write_segment<'a>(text: &mut Text, heads: &mut SegmentHeads<'a>, segment: &'a Segment, with_parts: bool) {
    let open = segment.phase == SegmentPhase::Open;
    heads.write(text, segment);
    if with_parts && !segment.gap {
        for part in &segment.parts {
            text.line(format_args!(
                "#EXT-X-PART:DURATION={},URI=\"{}\"{}",
                Seconds(part.duration),
                part_file(segment.epoch, part.number),
                if part.independent { ",INDEPENDENT=YES" } else { "" }
            ));
        }
    }
    if open {
        return;
    }
    if segment.gap {
        text.line(format_args!("#EXT-X-GAP"));
    }
    text.line(format_args!("#EXTINF:{},", Seconds(segment.duration)));
    text.line(format_args!("{}", segment_file(segment.msn, segment.epoch)));
}

/// Where the other renditions stand, so that a player that switches asks for the right thing. From the same timeline
/// as their own playlists, hence never ahead of them.
fn reports(text: &mut Text, timeline: &Timeline, track: &Track) {
    for other in timeline.tracks.iter().filter(|other| other.name != track.name && !other.withdrawn) {
        let Some((msn, part)) = last_position(timeline, other) else { continue };
        let last_part = part.map_or_else(String::new, |part| format!(",LAST-PART={part}"));
        text.line(format_args!(
            "#EXT-X-RENDITION-REPORT:URI=\"../{}/index.m3u8\",LAST-MSN={msn}{last_part}",
            other.name
        ));
    }
}

fn last_position(timeline: &Timeline, track: &Track) -> Option<(Msn, Option<usize>)> {
    let last = listed(timeline, track).next_back()?;
    Some((last.msn, last.parts.len().checked_sub(1)))
}

/// The first segment whose parts are listed: RFC 8216bis §6.2.2 wants them gone three target durations from the end.
fn parts_from(timeline: &Timeline, segments: &[&Segment]) -> usize {
    let keep = target_durations(timeline, 3).0;
    let mut after = 0_u64;
    for (index, segment) in segments.iter().enumerate().rev() {
        if after >= keep {
            return index.saturating_add(1);
        }
        after = after.saturating_add(segment.duration.0);
    }
    0
}

/// How many segments, those of the preroll first, lie wholly before the skip boundary.
fn skippable(timeline: &Timeline, segments: &[&Segment], preroll: Option<&Preroll<'_>>) -> u64 {
    let boundary = can_skip_until(timeline).0;
    let media: u64 = segments.iter().map(|s| s.duration.0).sum();
    let before = preroll.map_or(0, Preroll::count);
    let each = preroll.map_or(MediaDuration(0), Preroll::duration).0.checked_div(before).unwrap_or(0);
    let lengths = (0..before)
        .map(|_| each)
        .chain(segments.iter().filter(|s| s.phase != SegmentPhase::Open).map(|s| s.duration.0));
    let mut left = media.saturating_add(each.saturating_mul(before));
    let mut count = 0_u64;
    for length in lengths {
        left = left.saturating_sub(length);
        if left < boundary {
            break;
        }
        count = count.saturating_add(1);
    }
    count
}
