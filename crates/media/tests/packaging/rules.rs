//! The rules of ARCHITECTURE §5, one sentence each.

use crate::publisher::{OBS, Publisher};
use crate::recorder::{
    AVC_RECORD, NOW, OTHER_AVC_RECORD, Recorder, aac_frame, aac_header, avc_frame, avc_header, config, hints,
    rendition,
};
use bytes::Bytes;
use caudal_livestream::assignment::Floor;
use caudal_livestream::timeline::Segment;
use caudal_livestream::{Epoch, Generation, MediaTime, Msn, SessionId, UnixMillis};
use caudal_media::{Beyond, DiscontinuityCause, MediaReport, Resume};

pub(crate) fn discontinuities(recorder: &Recorder) -> Vec<DiscontinuityCause> {
    let cause = |report: &MediaReport| match report {
        MediaReport::Discontinuity { cause, .. } => Some(*cause),
        _ => None,
    };
    recorder.reports.iter().filter_map(cause).collect()
}

#[test]
fn two_second_gops_make_ten_parts_of_six_frames() {
    let mut recorder = Recorder::new(config());
    recorder.steady = true;
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 10_500, 0);
    recorder.finish();
    recorder.check_alignment(22_000);
    let source = recorder.of("source");
    assert_eq!(source[0].msn, Msn(7), "the lead-in stands before it");
    assert_eq!(source[0].start, MediaTime(24_066_000), "24 seconds and the encoder's delay");
    assert_eq!(source.len(), 6);
    for segment in &source[..5] {
        let parts: Vec<u64> = segment.parts.iter().map(|part| part.duration.0).collect();
        assert_eq!(parts, [200_000; 10]);
    }
    let timeline = recorder.timeline.as_ref().expect("frozen");
    assert_eq!(timeline.target_duration, 4, "without history");
    assert_eq!(timeline.part_hold_back.0, 3 * 214_000, "three of the longest part target, the audio's");
    assert!(recorder.reports.is_empty(), "{:?}", recorder.reports);
}

#[test]
fn the_first_part_is_announced_as_soon_as_it_is_whole() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 1_000, 0);
    assert!(recorder.first_part_after.expect("parts") <= 170, "{:?}", recorder.first_part_after);
}

#[test]
fn a_part_is_closed_without_waiting_for_the_next_frame() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 2_000 + 170, 0);
    let timeline = recorder.timeline.as_ref().expect("frozen");
    let source = timeline.track(&rendition("source")).expect("video");
    let open = source.segments.back().expect("open");
    assert_eq!((open.msn, open.parts.len()), (Msn(8), 1), "six frames are in, the seventh is not");
}

#[test]
fn a_gop_longer_than_the_target_is_cut_on_the_frame_grid_and_reported() {
    let mut recorder = Recorder::new(config());
    let publisher = Publisher { gop: 300, ..OBS };
    publisher.begin(&mut recorder);
    publisher.send(&mut recorder, 0, 20_500, 0);
    recorder.finish();
    recorder.check_alignment(22_000);
    assert!(
        recorder
            .reports
            .iter()
            .any(|report| matches!(report, MediaReport::GopTooLong { target_seconds: 4, .. }))
    );
    let independent: Vec<_> =
        recorder.of("source").iter().filter(|segment| segment.independent).map(|s| s.start.0).collect();
    assert_eq!(independent, [24_066_000, 34_066_000, 44_066_000], "each keyframe still opens a segment");
}

#[test]
fn no_gop_makes_a_segment_longer_than_the_target_duration() {
    // x264's default of 250 frames at 60, 50, 30 and 25 frames a second among them.
    for (fps, gop) in
        [(60, 250), (50, 250), (30, 250), (25, 250), (30, 126), (25, 101), (30, 121), (60, 600), (24, 240)]
    {
        for target in [None, Some(2_000), Some(10_000)] {
            let case = format!("{gop} frames at {fps}, {target:?}");
            let mut recorder =
                Recorder::new(caudal_media::PackagerConfig { hints: target.map(hints), ..config() });
            let publisher = Publisher { fps, gop, ..OBS };
            publisher.begin(&mut recorder);
            publisher.send(&mut recorder, 0, 45_500, 0);
            recorder.finish();
            recorder.check_alignment(22_000);
            let target = u64::from(recorder.timeline.as_ref().expect("frozen").target_duration) * 1_000_000;
            let source = recorder.of("source");
            assert!(source.iter().all(|segment| segment.duration.0 <= target + 10_000), "{case}");
            // Behind the first GOP, of which nobody knew how long it would be, each keyframe opens a segment; and none
            // is cut into more pieces than it must be.
            let gop = gop * 1_000_000 / fps;
            let keyframe =
                |segment: &Segment| (segment.start.0 - 24_066_000 + 2_000).rem_euclid(gop) <= 4_000;
            let later: Vec<_> =
                source.iter().filter(|segment| segment.start.0 > 24_066_000 + 2 * gop - 4_000).collect();
            for segment in &later {
                assert_eq!(segment.independent, keyframe(segment), "{case}: {segment:?}");
            }
            let independent = later.iter().filter(|segment| segment.independent).count();
            let whole = usize::try_from((35_500_000 - 2 * gop) / gop).expect("few");
            assert!(independent >= whole, "{case}: {independent} of {whole}");
        }
    }
}

#[test]
fn keyframes_that_come_when_they_like_leave_no_segment_over_the_target_duration() {
    for seed in 0..60_u64 {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        let (mut state, mut next) = (seed * 2_654_435_761 + 1, 0_u32);
        for n in 0..900_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let keyframe = n == next;
            if keyframe {
                next +=
                    1 + u32::try_from(state >> 33).expect("31 bits") % if seed % 2 == 0 { 400 } else { 160 };
            }
            recorder.at(i64::from(n) * 100 / 3);
            recorder.video(n * 100 / 3, avc_frame(keyframe, 66, 300));
        }
        recorder.finish();
        let source = recorder.of("source");
        assert!(source.iter().all(|segment| segment.duration.0 <= 4_010_000), "{seed}");
        assert!(source.iter().all(|segment| !segment.gap), "{seed}");
    }
}

#[test]
fn a_known_long_gop_gets_a_target_duration_that_holds_it() {
    let mut config = config();
    config.hints = Some(hints(10_000));
    let mut recorder = Recorder::new(config);
    let publisher = Publisher { gop: 300, ..OBS };
    publisher.begin(&mut recorder);
    publisher.send(&mut recorder, 0, 20_500, 0);
    recorder.finish();
    assert_eq!(recorder.timeline.as_ref().expect("frozen").target_duration, 10);
    assert!(recorder.of("source").iter().all(|segment| segment.independent));
}

#[test]
fn half_second_gops_are_joined_to_two_second_segments() {
    let mut recorder = Recorder::new(config());
    let publisher = Publisher { gop: 15, ..OBS };
    publisher.begin(&mut recorder);
    publisher.send(&mut recorder, 0, 8_500, 0);
    recorder.finish();
    let lengths: Vec<u64> = recorder.of("source").iter().take(4).map(|segment| segment.duration.0).collect();
    assert_eq!(lengths, [2_000_000; 4]);
}

#[test]
fn a_wrap_of_32_bits_means_nothing() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 8_500, (1 << 32) - 3_000);
    recorder.finish();
    recorder.check_alignment(22_000);
    assert!(recorder.reports.is_empty(), "{:?}", recorder.reports);
    assert_eq!(recorder.of("source").len(), 5);
}

#[test]
fn a_jump_makes_one_discontinuity_on_every_rendition() {
    for jump in [3_600_000, -3_500] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        OBS.send(&mut recorder, 0, 5_000, 10_000);
        OBS.send(&mut recorder, 5_000, 10_500, 10_000 + jump);
        recorder.finish();
        recorder.check_alignment(45_000);
        assert_eq!(discontinuities(&recorder), [DiscontinuityCause::Jump], "{jump}");
        let last = recorder.of("source").last().expect("segments");
        assert_eq!(last.discontinuity, 1);
        let off = last.program_date_time.0 - (NOW + last.start.0 / 1000 - 24_000);
        assert_eq!(off, 0, "dates follow the media");
    }
}

#[test]
fn an_identical_header_means_nothing_and_a_changed_one_makes_a_discontinuity() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 4_000, 0);
    OBS.headers(&mut recorder);
    OBS.send(&mut recorder, 4_000, 6_000, 0);
    recorder.video(6_000, avc_header(OTHER_AVC_RECORD));
    OBS.send(&mut recorder, 6_000, 10_500, 0);
    recorder.finish();
    recorder.check_alignment(45_000);
    assert_eq!(discontinuities(&recorder), [DiscontinuityCause::VideoHeader]);
    let inits: Vec<_> = recorder.of("source").iter().map(|segment| segment.init.clone()).collect();
    assert_ne!(inits.first(), inits.last());
    let audio: Vec<_> = recorder.of("audio").iter().map(|segment| segment.init.clone()).collect();
    assert_eq!(audio.first(), audio.last());
}

#[test]
fn missing_video_is_bridged_by_the_last_picture_or_a_gap_without_a_discontinuity() {
    // Where the last picture's part is whole, its length has been announced with it.
    for (length, from, gap) in
        [500, 1_000, 2_500].into_iter().flat_map(|length| [(length, 4_700, 0), (length, 4_600, length)])
    {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        OBS.send_but(&mut recorder, 0, 12_500, 0, from..from + length, 0..0);
        recorder.finish();
        recorder.check_alignment(150_000);
        assert_eq!(discontinuities(&recorder), [], "{length}");
        let gaps: u64 = recorder.of("source").iter().filter(|s| s.gap).map(|s| s.duration.0).sum();
        let wanted = u64::try_from(gap).expect("positive") * 1000;
        assert!(gaps.abs_diff(wanted) <= 60_000, "{gaps} of {wanted}");
        assert!(recorder.of("audio").iter().all(|segment| !segment.gap), "audio goes on");
    }
}

#[test]
fn missing_audio_becomes_silence() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send_but(&mut recorder, 0, 12_500, 0, 0..0, 4_000..7_000);
    recorder.finish();
    recorder.check_alignment(22_000);
    assert!(recorder.reports.iter().any(|report| matches!(report, MediaReport::Silence { .. })));
    assert_eq!(discontinuities(&recorder), []);
    assert!(recorder.of("audio").iter().all(|segment| !segment.gap));
}

#[test]
fn a_stream_without_audio_carries_silence() {
    let mut recorder = Recorder::new(config());
    let publisher = Publisher { audio: false, ..OBS };
    publisher.begin(&mut recorder);
    publisher.send(&mut recorder, 0, 6_500, 0);
    recorder.finish();
    recorder.check_alignment(22_000);
    assert_eq!(recorder.of("audio").len(), recorder.of("source").len());
    assert!(recorder.reports.is_empty(), "{:?}", recorder.reports);
}

#[test]
fn a_stream_without_metadata_starts_after_a_second_with_what_came() {
    let mut recorder = Recorder::new(config());
    let publisher = Publisher { audio: false, ..OBS };
    publisher.headers(&mut recorder);
    publisher.send(&mut recorder, 0, 3_000, 0);
    let first = recorder.first_part_after.expect("parts");
    assert!((1_000..1_100).contains(&first), "{first}");
}

#[test]
fn late_audio_of_the_same_kind_replaces_the_silence() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    Publisher { audio: false, ..OBS }.send(&mut recorder, 0, 3_000, 0);
    recorder.audio(3_000, aac_header());
    OBS.send(&mut recorder, 3_000, 8_500, 0);
    recorder.finish();
    recorder.check_alignment(22_000);
    assert_eq!(discontinuities(&recorder), []);
    let sent = aac_frame().slice(2..);
    let sound = recorder.files.get(&rendition("audio")).expect("sound");
    let frames = sound.windows(sent.len()).filter(|bytes| *bytes == &sent[..]).count();
    assert!((255..=258).contains(&frames), "of 5.5 s: {frames}");
}

#[test]
fn late_audio_of_another_kind_is_a_discontinuity() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    Publisher { audio: false, ..OBS }.send(&mut recorder, 0, 3_000, 0);
    recorder.audio(3_000, Bytes::from_static(b"\xaf\x00\x12\x08"));
    OBS.send(&mut recorder, 3_000, 8_500, 0);
    recorder.finish();
    recorder.check_alignment(45_000);
    assert_eq!(discontinuities(&recorder), [DiscontinuityCause::AudioHeader]);
}

#[test]
fn audio_alone_is_planned_by_the_audio() {
    let mut recorder = Recorder::new(config());
    let publisher = Publisher { video: false, ..OBS };
    publisher.begin(&mut recorder);
    publisher.send(&mut recorder, 0, 8_500, 0);
    recorder.video(8_500, avc_header(AVC_RECORD));
    publisher.send(&mut recorder, 8_500, 9_000, 0);
    recorder.finish();
    assert!(recorder.of("source").is_empty());
    let audio = recorder.of("audio");
    assert_eq!(audio[0].duration.0, 1_920_000, "ten parts of nine frames");
    assert_eq!(audio[0].parts.len(), 10);
    assert_eq!(recorder.reports, [], "a header without pictures is nothing yet");
}

#[test]
fn a_replay_on_a_new_relay_connection_changes_nothing() {
    let play = |replays: bool| {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        OBS.send(&mut recorder, 0, 7_300, 0);
        if replays {
            recorder.packager.publisher_lost(UnixMillis(NOW + 7_300));
            recorder.packager.publisher(SessionId(uuid::Uuid::nil()), Generation(1));
            OBS.headers(&mut recorder);
            OBS.send(&mut recorder, 2_000, 7_300, 0);
        }
        OBS.send(&mut recorder, 7_300, 10_500, 0);
        recorder.finish();
        (recorder.files, recorder.segments)
    };
    assert_eq!(play(true), play(false));
}

#[test]
fn a_publisher_that_returns_with_new_timestamps_is_placed_by_the_wall_clock() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 5_000, 0);
    recorder.packager.publisher_lost(UnixMillis(NOW + 5_000));
    recorder.at(6_500);
    recorder.tick();
    assert_eq!(recorder.of("source").len(), 3, "what was there is closed");
    recorder.packager.publisher(SessionId(uuid::Uuid::max()), Generation(2));
    recorder.at(15_000);
    recorder.video(0, avc_header(AVC_RECORD));
    recorder.audio(0, aac_header());
    for n in 0..90_u32 {
        recorder.at(15_000 + i64::from(n) * 100 / 3);
        recorder.audio(n * 100 / 3, aac_frame());
        recorder.video(n * 100 / 3, avc_frame(n % 60 == 0, 66, 900));
    }
    recorder.finish();
    recorder.check_alignment(45_000);
    assert_eq!(discontinuities(&recorder), [DiscontinuityCause::Jump]);
    let first = &recorder.of("source")[3];
    assert_eq!((first.msn, first.discontinuity), (Msn(10), 1));
    assert_eq!(first.start, MediaTime(39_066_000), "ten seconds of absence are in the timeline");
}

#[test]
fn a_worker_goes_on_behind_what_its_predecessor_announced() {
    let mut before = Recorder::new(config());
    OBS.begin(&mut before);
    OBS.send(&mut before, 0, 7_300, 0);
    let names: Vec<_> = before.segments.keys().cloned().collect();
    for name in names {
        for msn in 7..9 {
            before.packager.stored(&name, Msn(msn));
        }
    }
    before.drain();
    let timeline = before.timeline.clone().expect("frozen");
    let floor = Floor { msn: Msn(10), discontinuity: 0, media_end: MediaTime(31_266_000), epoch: None };
    let mut config = config();
    config.epoch = Epoch(2);
    config.resume = Some(Resume {
        timeline,
        clock: before.packager.clock(),
        floor: Some(floor),
        beyond: Beyond::SameEpoch,
    });
    let mut after = Recorder::new(config);
    OBS.begin(&mut after);
    after.at(8_000);
    OBS.send(&mut after, 6_000, 12_500, 0);
    after.finish();
    after.check_alignment(45_000);
    assert_eq!(discontinuities(&after), []);
    let first = &after.of("source")[1];
    assert_eq!((first.msn, first.epoch, first.discontinuity), (Msn(11), Epoch(2), 0));
    assert!((first.start.0 - 31_266_000).abs() < 40_000, "{first:?}");
    assert!(!first.independent, "it goes on in the middle of a GOP");
    let timeline = after.timeline.expect("taken up");
    let source = timeline.track(&rendition("source")).expect("video");
    let gaps: Vec<_> =
        source.segments.iter().filter(|segment| segment.gap).map(|segment| segment.msn).collect();
    assert_eq!(gaps, [Msn(9)], "announced, never stored, and not in the replay");
}

#[test]
fn more_than_six_discontinuities_a_minute_are_refused() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    for round in 0..10 {
        OBS.send(&mut recorder, round * 1000, (round + 1) * 1000, round % 2 * 3_600_000);
    }
    recorder.finish();
    assert!(discontinuities(&recorder).len() <= 6);
    assert!(recorder.reports.contains(&MediaReport::TooManyChanges));
}

#[test]
fn behind_a_hole_of_pictures_and_sound_the_first_segment_is_no_splinter() {
    for missing in [500, 1_000, 2_500] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        let hole = 4_500..4_500 + missing;
        OBS.send_but(&mut recorder, 0, 12_000, 0, hole.clone(), hole);
        recorder.finish();
        let source = recorder.of("source");
        let shortest = source.iter().map(|segment| segment.duration.0).min();
        assert!(shortest >= Some(460_000), "{missing} ms: {shortest:?}");
    }
}

#[test]
fn pictures_seconds_apart_are_holes_and_sound_goes_on_between_them() {
    // 128x96, Baseline, without a VUI.
    let without_frame_rate =
        b"\x01\x42\x00\x0a\xff\xe1\x00\x07\x67\x42\x00\x0a\xf8\x41\xa2\x01\x00\x04\x68\xce\x38\x80";
    let mut recorder = Recorder::new(config());
    recorder.metadata(None, true, true);
    recorder.audio(0, aac_header());
    recorder.video(0, avc_header(without_frame_rate));
    for n in 0..1_200_u32 {
        let at = n * 1024 / 48;
        if at < 12_000 && at % 2_700 < 21 {
            recorder.video(at, avc_frame(true, 0, 2000));
        }
        recorder.audio(at, aac_frame());
    }
    recorder.finish();
    let holes = recorder.of("source").iter().filter(|segment| segment.gap).count();
    assert!(holes > 0, "pictures 2.7 s apart");
    assert!(recorder.of("audio").iter().all(|segment| !segment.gap) && recorder.of("audio").len() >= 10);
}
