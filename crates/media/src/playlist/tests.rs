//! Playlists as a parser of somebody else's reads them.
#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

use caudal_livestream::MediaTime;
use caudal_livestream::timeline::{Timeline, TrackMedia, VideoRange};
use proptest::prelude::*;
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::Tag;
use quick_m3u8::{HlsLine, Reader};

use super::sample::{Broadcast, Step};
use super::{Delivery, master, media, stored_media};
use crate::manifest::{Reach, dash};

/// A media playlist as a player understands it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Parsed {
    target: u64,
    part_target: f64,
    part_hold_back: Option<f64>,
    can_skip_until: Option<f64>,
    media_sequence: u64,
    discontinuity_sequence: u64,
    skipped: u64,
    segments: Vec<ParsedSegment>,
    open_parts: Vec<ParsedPart>,
    hint: Option<String>,
    reports: Vec<(String, u64, Option<u64>)>,
    ended: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct ParsedSegment {
    msn: u64,
    discontinuity: u64,
    map: Option<String>,
    date: Option<String>,
    gap: bool,
    duration: f64,
    uri: String,
    parts: Vec<ParsedPart>,
}

#[derive(Clone, Debug, PartialEq)]
struct ParsedPart {
    uri: String,
    duration: f64,
    independent: bool,
}

fn lines(text: &str) -> Vec<HlsLine<'_>> {
    let mut reader = Reader::from_str(text, ParsingOptionsBuilder::new().with_parsing_for_all_tags().build());
    let mut lines = Vec::new();
    while let Some(line) = reader.read_line().unwrap() {
        lines.push(line);
    }
    lines
}

fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut next = ParsedSegment::default();
    let mut discontinuities = 0;
    for line in lines(text) {
        match line {
            HlsLine::KnownTag(KnownTag::Hls(tag)) => match tag {
                Tag::Targetduration(tag) => parsed.target = tag.target_duration(),
                Tag::ServerControl(tag) => {
                    assert!(tag.can_block_reload());
                    parsed.part_hold_back = tag.part_hold_back();
                    parsed.can_skip_until = tag.can_skip_until();
                }
                Tag::PartInf(tag) => parsed.part_target = tag.part_target(),
                Tag::MediaSequence(tag) => parsed.media_sequence = tag.media_sequence(),
                Tag::DiscontinuitySequence(tag) => {
                    parsed.discontinuity_sequence = tag.discontinuity_sequence();
                }
                Tag::Skip(tag) => parsed.skipped = tag.skipped_segments(),
                Tag::Discontinuity(_) => discontinuities += 1,
                Tag::Map(tag) => next.map = Some(tag.uri().to_owned()),
                Tag::ProgramDateTime(tag) => next.date = Some(format!("{:?}", tag.program_date_time())),
                Tag::Gap(_) => next.gap = true,
                Tag::Inf(tag) => next.duration = tag.duration(),
                Tag::Part(tag) => next.parts.push(ParsedPart {
                    uri: tag.uri().to_owned(),
                    duration: tag.duration(),
                    independent: tag.independent(),
                }),
                Tag::PreloadHint(tag) => parsed.hint = Some(tag.uri().to_owned()),
                Tag::RenditionReport(tag) => {
                    parsed.reports.push((tag.uri().to_owned(), tag.last_msn(), tag.last_part()));
                }
                Tag::Endlist(_) => parsed.ended = true,
                Tag::M3u(_) | Tag::Version(_) => {}
                other => panic!("a tag that should not be there: {other:?}"),
            },
            HlsLine::Uri(uri) => {
                next.uri = uri.into_owned();
                next.msn = parsed.media_sequence + parsed.skipped + parsed.segments.len() as u64;
                next.discontinuity = discontinuities;
                let map = next.map.clone();
                parsed.segments.push(std::mem::take(&mut next));
                next.map = map;
            }
            other => panic!("not a playlist line: {other:?}"),
        }
    }
    for segment in &mut parsed.segments {
        segment.discontinuity += parsed.discontinuity_sequence;
    }
    parsed.open_parts = next.parts;
    parsed
}

/// What a player has after a delta update on top of its last playlist.
fn merge(old: &Parsed, delta: Parsed) -> Parsed {
    let mut whole = Parsed { skipped: 0, segments: Vec::new(), ..delta.clone() };
    for msn in delta.media_sequence..delta.media_sequence + delta.skipped {
        let kept = old
            .segments
            .iter()
            .find(|s| s.msn == msn)
            .unwrap_or_else(|| panic!("{msn} is not in the old one"));
        // Parts that far back are listed no more.
        whole.segments.push(ParsedSegment { parts: Vec::new(), ..kept.clone() });
    }
    let before = whole.segments.last().map(|s| (s.discontinuity, s.map.clone()));
    for mut segment in delta.segments {
        if let Some((discontinuity, map)) = &before {
            segment.discontinuity += discontinuity - delta.discontinuity_sequence;
            segment.map = segment.map.or_else(|| map.clone());
        }
        whole.segments.push(segment);
    }
    whole
}

fn first(timeline: &Timeline) -> &caudal_livestream::timeline::Track {
    &timeline.tracks[0]
}

fn full(timeline: &Timeline) -> Parsed {
    parse(&media(timeline, first(timeline), Delivery::Full))
}

#[test]
fn the_first_part_of_a_broadcast_makes_a_playlist_of_seven_gaps_and_that_part() {
    let broadcast = Broadcast::new(&["source", "audio"]).with(0, 1);
    let text = media(&broadcast.timeline, first(&broadcast.timeline), Delivery::Full);
    let expected = "\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.633000,CAN-SKIP-UNTIL=12.000000
#EXT-X-PART-INF:PART-TARGET=0.211000
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI=\"init-abc0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T13:59:56.000Z
#EXT-X-GAP
#EXTINF:2.000000,
0-1.m4s
";
    assert!(text.starts_with(expected), "{text}");
    let tail = "\
6-1.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:10.000Z
#EXT-X-PART:DURATION=0.200000,URI=\"p1-0.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p1-1.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=7,LAST-PART=0
";
    assert!(text.ends_with(tail), "{text}");
}

#[test]
fn the_lead_in_is_seven_ordinary_segments_and_the_last_one_is_listed_in_parts_too() {
    let broadcast = Broadcast::new(&["source", "audio"]).with_lead_in().with(0, 1);
    let text = media(&broadcast.timeline, first(&broadcast.timeline), Delivery::Full);
    assert!(!text.contains("GAP"), "{text}");
    let tail = "\
5-1.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:08.000Z
#EXT-X-PART:DURATION=0.200000,URI=\"l1-0.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.200000,URI=\"l1-1.m4s\",INDEPENDENT=YES
";
    assert!(text.contains(tail), "{text}");
    let tail = "\
#EXT-X-PART:DURATION=0.200000,URI=\"l1-9.m4s\",INDEPENDENT=YES
#EXTINF:2.000000,
6-1.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:10.000Z
#EXT-X-PART:DURATION=0.200000,URI=\"p1-0.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p1-1.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=7,LAST-PART=0
";
    assert!(text.ends_with(tail), "{text}");
    let parsed = parse(&text);
    assert_eq!((parsed.media_sequence, parsed.segments.len()), (0, 7));
    assert!(
        parsed.segments.iter().all(|s| s.discontinuity == 0 && s.map.as_deref() == Some("init-abc0.mp4"))
    );
}

#[test]
fn the_lead_in_leaves_as_the_gaps_do_and_its_parts_with_those_of_media_as_old() {
    let with =
        |segments, parts| full(&Broadcast::new(&["source"]).with_lead_in().with(segments, parts).timeline);
    for (young, parts) in [(with(2, 9), 10), (with(2, 10), 0)] {
        assert_eq!((young.media_sequence, young.segments[6].parts.len()), (0, parts));
    }
    let grown = with(3, 0);
    assert_eq!((grown.media_sequence, grown.segments.len()), (7, 3));
    assert!(grown.segments.iter().all(|segment| segment.uri.starts_with(&segment.msn.to_string())));
}

#[test]
fn stored_playlists_and_the_manifest_never_hold_the_lead_in() {
    let mut broadcast = Broadcast::new(&["source"]).with_lead_in().with(2, 3);
    broadcast.step(Step::Store);
    let stored = stored_media(&broadcast.timeline, first(&broadcast.timeline));
    assert!(stored.contains("#EXT-X-MEDIA-SEQUENCE:7\n") && stored.ends_with("\n7-1.m4s\n"), "{stored}");
    for reach in [Reach::Finished, Reach::Stored] {
        let manifest = dash(&broadcast.timeline, reach);
        assert!(
            manifest.contains("startNumber=\"7\"") && !manifest.contains("startNumber=\"0\""),
            "{manifest}"
        );
    }
    broadcast.step(Step::End);
    assert_eq!(full(&broadcast.timeline).media_sequence, 7, "what is over begins with its first picture");
}

#[test]
fn the_gaps_leave_together_once_three_target_durations_of_finished_media_follow() {
    let young = full(&Broadcast::new(&["source"]).with(2, 9).timeline);
    assert_eq!((young.media_sequence, young.segments.len()), (0, 9));
    let grown = full(&Broadcast::new(&["source"]).with(3, 0).timeline);
    assert_eq!((grown.media_sequence, grown.segments.len()), (7, 3));
    assert_eq!(grown.segments[0].map.as_deref(), Some("init-abc0.mp4"));
}

#[test]
fn a_broadcast_that_ended_young_begins_at_its_first_picture() {
    let mut broadcast = Broadcast::new(&["source"]).with(1, 3);
    broadcast.step(Step::End);
    let parsed = full(&broadcast.timeline);
    assert!(parsed.ended);
    assert_eq!((parsed.media_sequence, parsed.segments.len(), parsed.hint), (7, 2, None));
}

#[test]
fn parts_are_listed_for_the_last_three_target_durations() {
    let parsed = full(&Broadcast::new(&["source"]).with(8, 4).timeline);
    let with_parts: Vec<_> = parsed.segments.iter().filter(|s| !s.parts.is_empty()).map(|s| s.msn).collect();
    assert_eq!(with_parts, [12, 13, 14]);
    assert_eq!(parsed.open_parts.len(), 4);
    assert_eq!(parsed.hint.as_deref(), Some("p1-84.m4s"));
}

#[test]
fn a_discontinuity_is_one_tag_with_the_new_init_and_is_counted_after_it_left() {
    let mut broadcast = Broadcast::new(&["source"]).with(4, 0);
    broadcast.step(Step::Discontinuity);
    let broadcast = broadcast.with(4, 0);
    let parsed = full(&broadcast.timeline);
    assert_eq!(parsed.discontinuity_sequence, 0);
    let seen: Vec<_> = parsed.segments.iter().map(|s| (s.discontinuity, s.map.clone().unwrap())).collect();
    assert_eq!(seen[3], (0, "init-abc0.mp4".to_owned()));
    assert_eq!(seen[4], (1, "init-abc1.mp4".to_owned()));
    let later = full(&broadcast.with(9, 0).timeline);
    assert_eq!((later.discontinuity_sequence, later.segments[0].discontinuity), (1, 1));
}

#[test]
fn a_hole_is_a_gap_segment_without_parts() {
    let mut broadcast = Broadcast::new(&["source"]).with(4, 2);
    broadcast.step(Step::Gap);
    let parsed = full(&broadcast.with(0, 1).timeline);
    let hole = parsed.segments.last().unwrap();
    assert!(hole.gap && hole.parts.is_empty());
    assert_eq!(parsed.open_parts.len(), 1);
}

#[test]
fn a_hole_is_listed_when_a_part_follows_it_or_when_it_is_long_or_when_all_is_over() {
    let mut broadcast = Broadcast::new(&["source", "audio"]).with(4, 2);
    let before = full(&broadcast.timeline);
    broadcast.step(Step::Gap);
    let held = full(&broadcast.timeline);
    assert_eq!((held.segments.len(), held.open_parts.len()), (before.segments.len() + 1, 0));
    assert!(
        !held.segments.last().unwrap().gap,
        "what was open is whole, and the hole behind it is not listed"
    );
    assert_eq!(held.reports[0].1, 11, "nor is it reported");
    let listed = |broadcast: &Broadcast| full(&broadcast.timeline).segments.iter().any(|s| s.gap);
    broadcast.step(Step::End);
    assert!(listed(&broadcast), "all is over");
    broadcast.timeline.ended = false;
    broadcast.step(Step::Gap);
    broadcast.step(Step::Gap);
    assert!(listed(&broadcast), "it is long");
}

#[test]
fn a_new_worker_continues_the_numbers_and_hints_at_its_own_first_part() {
    let mut broadcast = Broadcast::new(&["source"]).with(4, 2);
    broadcast.step(Step::NextEpoch);
    let parsed = full(&broadcast.timeline);
    assert_eq!(parsed.hint.as_deref(), Some("p2-0.m4s"));
    let parsed = full(&broadcast.with(1, 0).timeline);
    let names: Vec<_> = parsed.segments.iter().map(|s| s.uri.as_str()).collect();
    assert_eq!(names[4..], ["11-1.m4s", "12-2.m4s"]);
    assert!(parsed.segments.iter().all(|s| s.discontinuity == 0));
}

#[test]
fn a_withdrawn_rendition_is_in_no_master_and_no_report() {
    let mut broadcast = Broadcast::new(&["source", "720p", "audio"]).with(1, 0);
    broadcast.timeline.tracks[1].withdrawn = true;
    assert!(!master(&broadcast.timeline).contains("720p"));
    assert!(full(&broadcast.timeline).reports.iter().all(|(uri, ..)| uri == "../audio/index.m3u8"));
}

#[test]
fn the_master_lists_every_picture_with_the_sound() {
    let text = master(&Broadcast::new(&["source", "480p", "audio"]).with(1, 0).timeline);
    let expected = "\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio/index.m3u8\"
#EXT-X-STREAM-INF:BANDWIDTH=6000000,AVERAGE-BANDWIDTH=5000000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\"
source/index.m3u8
";
    assert!(text.starts_with(expected), "{text}");
    assert!(lines(&text).iter().all(|line| !matches!(line, HlsLine::UnknownTag(_))));
}

#[test]
fn captions_are_claimed_when_they_came_and_denied_when_none_can_come() {
    let mut broadcast = Broadcast::new(&["source", "480p", "audio"]).with(1, 0);
    assert!(!master(&broadcast.timeline).contains("CAPTIONS"), "nothing is known yet");
    broadcast.timeline.ended = true;
    assert_eq!(master(&broadcast.timeline).matches(",CLOSED-CAPTIONS=NONE").count(), 2);
    broadcast.timeline.captions = ["CC1", "CC3", "SERVICE1"].map(|name| name.parse().unwrap()).into();
    for ended in [true, false] {
        broadcast.timeline.ended = ended;
        let text = master(&broadcast.timeline);
        assert_eq!(text.matches(",CLOSED-CAPTIONS=\"captions\"").count(), 2, "{text}");
        let channels: Vec<_> = text.lines().filter(|line| line.contains("TYPE=CLOSED-CAPTIONS")).collect();
        assert_eq!(
            channels,
            [
                "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",NAME=\"CC1\",AUTOSELECT=YES,INSTREAM-ID=\"CC1\"",
                "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",NAME=\"CC3\",INSTREAM-ID=\"CC3\"",
                "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",NAME=\"SERVICE1\",INSTREAM-ID=\"SERVICE1\"",
            ]
        );
        assert!(lines(&text).iter().all(|line| !matches!(line, HlsLine::UnknownTag(_))));
    }
}

#[test]
fn a_range_is_said_of_every_picture_if_one_is_not_standard() {
    let mut broadcast = Broadcast::new(&["source", "480p", "audio"]).with(1, 0);
    assert!(!master(&broadcast.timeline).contains("VIDEO-RANGE"));
    for (own, text) in [(VideoRange::Pq, "PQ"), (VideoRange::Hlg, "HLG")] {
        if let TrackMedia::Video { range, .. } = &mut broadcast.timeline.tracks[0].media {
            *range = own;
        }
        let master = master(&broadcast.timeline);
        let ranges: Vec<_> = master.lines().filter_map(|line| line.split_once("VIDEO-RANGE=")).collect();
        let ranges: Vec<_> = ranges.iter().filter_map(|(_, rest)| rest.split(',').next()).collect();
        assert_eq!(ranges, [text, "SDR"]);
    }
}

#[test]
fn a_broadcast_without_pictures_has_its_sound_as_the_variant() {
    let text = master(&Broadcast::new(&["audio"]).with(1, 0).timeline);
    assert!(text.ends_with("CODECS=\"mp4a.40.2\"\naudio/index.m3u8\n"), "{text}");
    assert!(!text.contains("EXT-X-MEDIA:"));
}

#[test]
fn a_broadcast_without_sound_has_no_group() {
    let text = master(&Broadcast::new(&["source"]).with(1, 0).timeline);
    assert!(text.contains("CODECS=\"avc1.64001f\"") && !text.contains("AUDIO"), "{text}");
}

#[test]
fn the_stored_playlist_holds_what_storage_holds_and_nothing_for_live_players() {
    let mut broadcast = Broadcast::new(&["source"]).with(3, 5);
    broadcast.step(Step::Store);
    broadcast.step(Step::Store);
    let text = stored_media(&broadcast.timeline, first(&broadcast.timeline));
    for absent in ["PART", "SERVER-CONTROL", "GAP", "HINT", "REPORT", "ENDLIST"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:7\n"));
    assert!(text.ends_with("8-1.m4s\n"), "{text}");
    broadcast.step(Step::End);
    assert!(!stored_media(&broadcast.timeline, first(&broadcast.timeline)).contains("ENDLIST"));
    broadcast.timeline.ended = false;
    broadcast.step(Step::Store);
    broadcast.step(Step::Store);
    broadcast.timeline.ended = true;
    assert!(
        stored_media(&broadcast.timeline, first(&broadcast.timeline)).ends_with("10-1.m4s\n#EXT-X-ENDLIST\n")
    );
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => Just(Step::Part),
        3 => Just(Step::Close),
        1 => Just(Step::Gap),
        1 => Just(Step::Discontinuity),
        1 => Just(Step::NextEpoch),
        4 => Just(Step::Store),
    ];
    prop::collection::vec(step, 1..250)
}

proptest! {
    #[test]
    fn what_viewers_rely_on_holds_whatever_happens(
        steps in steps(),
        apart in 1_usize..25,
        lead_in in any::<bool>(),
    ) {
        let broadcast = Broadcast::new(&["source", "audio"]);
        let mut broadcast = if lead_in { broadcast.with_lead_in() } else { broadcast };
        broadcast.step(Step::Part);
        let mut last = full(&broadcast.timeline);
        let (target, hold_back, part_target) = (last.target, last.part_hold_back, last.part_target);
        let mut history = vec![(broadcast.position, last.clone())];
        for step in steps {
            broadcast.step(step);
            let now = full(&broadcast.timeline);

            prop_assert_eq!((now.target, now.part_hold_back, now.part_target), (target, hold_back, part_target));
            prop_assert!(now.media_sequence >= last.media_sequence, "MEDIA-SEQUENCE went back");
            prop_assert!(now.discontinuity_sequence >= last.discontinuity_sequence);
            let end = |p: &Parsed| (p.media_sequence + p.segments.len() as u64, p.open_parts.len());
            prop_assert!(end(&now) >= end(&last), "the end went back");
            let length: f64 = now.segments.iter().map(|s| s.duration).sum();
            prop_assert!(length >= 3.0 * target as f64 - 1e-6, "shorter than three target durations");
            for segment in &now.segments {
                prop_assert!(segment.duration.round() as u64 <= target);
                prop_assert!(segment.map.is_some() && segment.date.is_some());
                // What a segment was once called and dated, it is for as long as it is listed.
                if let Some(before) = last.segments.iter().find(|s| s.msn == segment.msn) {
                    prop_assert_eq!((&before.uri, &before.date, before.discontinuity, &before.map, before.gap),
                        (&segment.uri, &segment.date, segment.discontinuity, &segment.map, segment.gap));
                }
            }
            for part in now.segments.iter().flat_map(|s| &s.parts).chain(&now.open_parts) {
                prop_assert!(part.duration <= part_target, "a part over PART-TARGET");
                prop_assert_ne!(Some(&part.uri), now.hint.as_ref(), "the hint is there already");
            }

            // Reports against the other rendition's own playlist from the same timeline.
            let other = parse(&media(&broadcast.timeline, &broadcast.timeline.tracks[1], Delivery::Full));
            let (msn, parts) = end(&other);
            for (_, last_msn, last_part) in &now.reports {
                prop_assert!(*last_msn < msn || (*last_msn == msn && last_part.unwrap() < parts as u64));
            }

            // RFC 8216bis §6.2.5.1: a delta may be asked for up to half the skip boundary after the last playlist.
            let half = now.can_skip_until.unwrap() / 2.0;
            let recent = |(at, _): &&(MediaTime, Parsed)| broadcast.position.since(*at).as_secs_f64() <= half;
            let old = history.iter().rev().take(apart).take_while(recent).last().map_or(&now, |(_, old)| old);
            let delta = parse(&media(&broadcast.timeline, first(&broadcast.timeline), Delivery::Delta));
            prop_assert_eq!(merge(old, delta), now.clone());

            history.push((broadcast.position, now.clone()));
            last = now;
        }
    }
}
