//! Encoders that skip pictures which do not change.

use caudal_media::MediaReport;

use crate::clocks::{Tags, pictures, send, sounds};
use crate::recorder::{Recorder, config, hints, rendition, rung};
use crate::rules::{OBS, Publisher, discontinuities};

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
    for ladder in [vec![], vec![rung("240p", 240)]] {
        let rungs = !ladder.is_empty();
        let mut recorder = Recorder::new(caudal_media::PackagerConfig { ladder, ..config() });
        OBS.begin(&mut recorder);
        let mut frames = pictures(|at| at);
        frames.gop = 180;
        frames.skipped = Some(Box::new(|at| at % 6_000 >= 2_000));
        send(&mut recorder, 48_000, &frames, &sounds(|at| at));
        if rungs {
            recorder.encode(&rendition("240p"));
        }
        recorder.finish();
        recorder.check_alignment(150_000);
        let before: Vec<_> = recorder.of("source").iter().filter(|segment| segment.gap).collect();
        assert!(before.iter().all(|gap| gap.start.0 < 17_000_000), "{before:?}");
        let stills = recorder.of("source").iter().filter(|segment| !segment.gap && segment.parts.is_empty());
        assert!(stills.count() >= 6);
    }
}

#[test]
fn slides_are_sent_again_while_they_stay() {
    for (every, sound, target) in
        [(2_500, true, 2_000), (2_500, false, 2_000), (9_000, true, 2_000), (5_000, true, 9_000)]
    {
        let mut config = config();
        config.hints = Some(hints(target));
        let mut recorder = Recorder::new(config);
        let publisher = Publisher { audio: sound, ..OBS };
        publisher.begin(&mut recorder);
        let slides = Tags { frame_us: every * 1000, gop: 1, ..pictures(|at| at) };
        let none = Tags { sent: 0..0, ..sounds(|at| at) };
        let sounds = if sound { sounds(|at| at) } else { none };
        send(&mut recorder, 40_000, &slides, &sounds);
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
