//! Encoders that skip pictures which do not change.

use bytes::Bytes;
use caudal_livestream::{Generation, SessionId, UnixMillis};
use caudal_media::{MediaReport, PackagerConfig};

use crate::clocks::{Tags, pictures, send, sounds};
use crate::publisher::{OBS, Publisher};
use crate::recorder::{NOW, Recorder, config, decode_times, hints, rendition, rung};
use crate::rules::discontinuities;

fn slides(every_ms: i64) -> Tags {
    Tags { frame_us: every_ms * 1000, gop: 1, ..pictures(|at| at) }
}

fn silence() -> Tags {
    Tags { sent: 0..0, ..sounds(|at| at) }
}

/// One rung, encoded as the pictures come.
fn with_rung(publisher: &Publisher) -> Recorder {
    let ladder = vec![rung("240p", 240)];
    let mut recorder = Recorder::new(PackagerConfig { ladder, ..config() });
    recorder.encoder = Some(rendition("240p"));
    publisher.begin(&mut recorder);
    recorder
}

/// The number of the last whole segment.
fn newest(recorder: &Recorder, name: &str) -> u64 {
    recorder.of(name).last().map_or(0, |last| last.msn.0)
}

/// Where that one ends.
fn end(recorder: &Recorder, name: &str) -> i64 {
    recorder.of(name).last().map_or(0, |last| last.start.plus(last.duration).0)
}

fn gaps(recorder: &Recorder, name: &str) -> usize {
    recorder.of(name).iter().filter(|segment| segment.gap).count()
}

#[test]
fn pictures_that_pause_beside_sound_are_shown_for_longer_and_leave_no_gap() {
    for (pause, begins) in [(500, 4_700), (1_000, 4_030), (2_500, 4_700), (4_000, 6_150)] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        let mut frames = pictures(|at| at);
        frames.skipped = Some(Box::new(move |at| (begins..begins + pause).contains(&at)));
        send(&mut recorder, 16_000, &frames, &sounds(|at| at));
        recorder.finish();
        recorder.check_alignment(150_000);
        assert_eq!(gaps(&recorder, "source"), 0, "{pause}");
        assert_eq!(gaps(&recorder, "audio"), 0, "{pause}");
        assert_eq!(discontinuities(&recorder), [], "{pause}");
    }
}

#[test]
fn an_encoder_that_skips_four_seconds_of_six_leaves_no_gaps_behind_the_first() {
    let mut recorder = with_rung(&OBS);
    let mut frames = pictures(|at| at);
    frames.gop = 180;
    frames.skipped = Some(Box::new(|at| at % 6_000 >= 2_000));
    send(&mut recorder, 48_000, &frames, &sounds(|at| at));
    recorder.finish();
    recorder.check_alignment(150_000);
    for name in ["source", "240p"] {
        let before: Vec<_> = recorder.of(name).iter().filter(|segment| segment.gap).collect();
        assert!(before.iter().all(|gap| gap.start.0 < 31_000_000), "{name} {before:?}");
        let stills = recorder.of(name).iter().filter(|segment| !segment.gap && segment.parts.is_empty());
        assert!(stills.count() >= 6, "{name}");
    }
}

#[test]
fn slides_are_sent_again_while_they_stay() {
    for (every, sound, target) in [
        (2_500, true, 2_000),
        (2_500, false, 2_000),
        (9_000, true, 2_000),
        (9_000, false, 2_000),
        (5_000, true, 9_000),
    ] {
        let mut config = config();
        config.hints = Some(hints(target));
        let mut recorder = Recorder::new(config);
        let publisher = Publisher { audio: sound, ..OBS };
        publisher.begin(&mut recorder);
        let sounds = if sound { sounds(|at| at) } else { silence() };
        send(&mut recorder, 40_000, &slides(every), &sounds);
        let shown_to = end(&recorder, "source");
        assert!(shown_to > 24_066_000 + 40_000_000 - 3_500_000, "{every} {sound}: {shown_to}");
        recorder.finish();
        recorder.check_alignment(150_000);
        assert_eq!(gaps(&recorder, "source"), 0, "{every} {sound}");
        assert_eq!(discontinuities(&recorder), [], "{every} {sound}");
        let source = recorder.of("source");
        assert!(source.iter().all(|segment| segment.independent), "{every} {sound}");
        let shown: u64 = source.iter().map(|segment| segment.duration.0).sum();
        assert!(shown >= 34_000_000, "{every} {sound}: {shown}");
    }
}

#[test]
fn only_an_idr_picture_is_sent_again() {
    let cases: [(&str, &[u8], bool); 3] = [
        ("an IDR picture", b"\0\0\0\x04\x65\x88\x84\x40", true),
        ("a recovery point", b"\0\0\0\x05\x06\x06\x01\xc4\x80\0\0\0\x04\x41\x9a\x24\x40", false),
        ("an intra picture", b"\0\0\0\x04\x41\x88\x84\x40", false),
    ];
    for (case, picture, repeats) in cases {
        let mut recorder = Recorder::new(config());
        let slides = Publisher { audio: false, ..OBS };
        slides.begin(&mut recorder);
        for n in 0..8_u32 {
            for tick in 0..110 {
                recorder.at(i64::from(n) * 5_500 + tick * 50);
                recorder.tick();
            }
            recorder.video(n * 5_500, Bytes::from([b"\x17\x01\0\0\0", picture].concat()));
        }
        recorder.finish();
        let source = recorder.of("source");
        assert!(source.iter().all(|segment| segment.independent || segment.gap), "{case}");
        let whole = recorder.wholes.iter().filter(|((of, _), _)| *of == rendition("source"));
        let shown: usize = whole
            .map(|(_, data)| data.windows(picture.len()).filter(|bytes| *bytes == picture).count())
            .sum();
        assert_eq!(shown > 8, repeats, "{case}: {shown}");
        assert!(shown >= 8, "{case}: {shown}");
        assert_eq!(discontinuities(&recorder), [], "{case}");
    }
}

#[test]
fn a_picture_that_stays_longer_than_a_segment_may_last_is_a_gap_behind_that() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    let mut frames = pictures(|at| at);
    frames.skipped = Some(Box::new(|at| (4_700..14_700).contains(&at)));
    send(&mut recorder, 20_000, &frames, &sounds(|at| at));
    recorder.finish();
    recorder.check_alignment(150_000);
    assert!(gaps(&recorder, "source") >= 2);
    assert!(recorder.reports.iter().any(|report| matches!(report, MediaReport::VideoGap { .. })));
}

#[test]
fn a_rung_goes_on_with_a_picture_that_stays_as_the_source_does() {
    for every in [10_000, 30_000] {
        let mut recorder = with_rung(&OBS);
        let mut from = 0;
        for to in [every - 1_000, every + 3_000, every + 9_000] {
            let sent = |tags| Tags { sent: from..i64::MAX, ..tags };
            send(&mut recorder, to, &sent(slides(every)), &sent(sounds(|at| at)));
            assert_eq!(newest(&recorder, "240p"), newest(&recorder, "source"), "{every} {to}");
            from = to;
        }
        recorder.finish();
        recorder.check_alignment(150_000);
        assert_eq!((gaps(&recorder, "source"), gaps(&recorder, "240p")), (0, 0), "{every}");
    }
}

#[test]
fn a_rung_whose_encoder_is_late_waits_for_the_picture_that_stays() {
    let mut recorder = with_rung(&OBS);
    send(&mut recorder, 14_000, &slides(15_000), &sounds(|at| at));
    recorder.encoder = None;
    let from_there = |tags| Tags { sent: 14_000..i64::MAX, ..tags };
    send(&mut recorder, 24_000, &from_there(slides(15_000)), &from_there(sounds(|at| at)));
    assert!(newest(&recorder, "240p") + 3 <= newest(&recorder, "source"));
    recorder.encoder = Some(rendition("240p"));
    recorder.tick();
    recorder.tick();
    assert_eq!(newest(&recorder, "240p"), newest(&recorder, "source"));
    recorder.finish();
    recorder.check_alignment(150_000);
    assert_eq!(gaps(&recorder, "240p"), 0);
}

#[test]
fn a_picture_without_sound_goes_on_while_its_publisher_is_there() {
    let alone = Publisher { audio: false, ..OBS };
    // Some come later than they are dated, by less than TCP needs to send again what was lost.
    let stamps = |at: i64| if at % 18_000 == 9_000 { at - 900 } else { at };
    let mut recorder = with_rung(&alone);
    let mut from = 0;
    // The first pause is one once its end is known: until then the publisher may be late.
    for to in [17_000, 26_500, 35_000] {
        let tags = Tags { stamps: Box::new(stamps), sent: from..i64::MAX, ..slides(9_000) };
        send(&mut recorder, to, &tags, &silence());
        // A segment of 2 s is not whole, and the first picture was kept for a second until the track set was frozen.
        for name in ["source", "240p", "audio"] {
            let shown_to = end(&recorder, name) - 24_066_000;
            assert!(shown_to > (to - 4_500) * 1000, "{name} at {to}: {shown_to}");
        }
        from = to;
    }
    // Nobody knows what comes next once the relay is gone.
    recorder.packager.publisher_lost(UnixMillis(NOW + 35_000));
    send(&mut recorder, 45_000, &Tags { sent: 0..0, ..slides(9_000) }, &silence());
    assert!(end(&recorder, "source") - 24_066_000 < 36_000_000);
    recorder.packager.publisher(SessionId(uuid::Uuid::nil()), Generation(2));
    send(&mut recorder, 48_000, &Tags { sent: 0..0, ..slides(9_000) }, &silence());
    assert!(end(&recorder, "source") - 24_066_000 < 36_000_000);
    recorder.finish();
    recorder.check_alignment(150_000);
    assert_eq!(discontinuities(&recorder), []);
    let source = recorder.of("source");
    for name in ["source", "240p", "audio"] {
        assert_eq!(gaps(&recorder, name), 0, "{name}");
    }
    for slide in [0, 9_000, 18_000, 27_000].map(stamps) {
        let begins = 24_066_000 + slide * 1000;
        assert!(source.iter().any(|segment| segment.start.0 == begins), "{slide}: {source:?}");
    }
}

#[test]
fn a_publisher_whose_sound_does_not_come_either_is_waited_for() {
    let mut recorder = with_rung(&OBS);
    send(&mut recorder, 6_500, &pictures(|at| at), &sounds(|at| at));
    let before = newest(&recorder, "source");
    send(&mut recorder, 12_000, &Tags { sent: 0..0, ..pictures(|at| at) }, &silence());
    assert_eq!(newest(&recorder, "source"), before);
    let late = |tags| Tags { sent: 6_500..i64::MAX, delay: 5_600, ..tags };
    send(&mut recorder, 12_000, &late(pictures(|at| at)), &late(sounds(|at| at)));
    recorder.finish();
    recorder.check_alignment(150_000);
    assert_eq!((gaps(&recorder, "source"), discontinuities(&recorder)), (0, vec![]));
    assert!(recorder.of("source").iter().all(|segment| !segment.parts.is_empty()));
}

#[test]
fn a_picture_that_comes_soon_after_one_was_sent_again_leaves_nothing_unshown_between_them() {
    for (ahead, next) in [(50, 6_030), (100, 6_130), (150, 6_130), (200, 6_060), (150, 6_190)] {
        let mut recorder = with_rung(&OBS);
        let mut frames = Tags { delay: ahead, ..pictures(|at| at) };
        frames.skipped = Some(Box::new(move |at| (4_010..next).contains(&at)));
        send(&mut recorder, 12_000, &frames, &sounds(|at| at));
        recorder.finish();
        recorder.check_alignment(150_000);
        for name in ["source", "240p"] {
            assert_eq!(gaps(&recorder, name), 0, "{name} {ahead} {next}");
            for segment in recorder.of(name) {
                let whole = &recorder.wholes[&(rendition(name), segment.msn)];
                let first = i64::try_from(decode_times(whole)[0]).expect("soon") * 1000 + 66_000;
                assert!(
                    (first - segment.start.0).abs() <= 1_000,
                    "{name} {ahead} {next}: {first} {segment:?}"
                );
            }
        }
    }
}
