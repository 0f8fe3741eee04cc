//! Video that comes after the sound, and how long it is waited for.

use caudal_livestream::Epoch;
use caudal_livestream::timeline::TrackMedia;
use caudal_media::{Beyond, DiscontinuityCause, Resume};

use crate::clocks::{Tags, pictures, send, sounds};
use crate::publisher::{OBS, Publisher};
use crate::recorder::{AVC_RECORD, Recorder, aac_header, avc_frame, avc_header, config};
use crate::rules::discontinuities;

#[test]
fn video_that_was_announced_is_waited_for_some_seconds() {
    for begins in [0, 1_500, 2_000, 4_000] {
        let mut recorder = Recorder::new(config());
        recorder.metadata(Some(30_000), true, true);
        recorder.audio(0, aac_header());
        recorder.video(u32::try_from(begins).expect("soon"), avc_header(AVC_RECORD));
        let video = Tags { sent: begins..i64::MAX, gop: 1, ..pictures(|at| at) };
        send(&mut recorder, 12_000, &video, &sounds(|at| at));
        recorder.finish();
        recorder.check_alignment(45_000);
        assert_eq!(discontinuities(&recorder), [], "{begins}");
        assert!(recorder.of("source").len() >= 3, "{begins}");
    }
}

#[test]
fn video_that_comes_to_a_stream_of_sound_is_added_behind_a_discontinuity() {
    for (begins, stamps) in [(3_000, 0), (9_000, 0), (20_000, -20_000), (20_000, 7_200_000)] {
        let mut recorder = Recorder::new(config());
        recorder.steady = true;
        recorder.metadata(None, false, true);
        recorder.audio(0, aac_header());
        let nothing = Tags { sent: 0..0, ..pictures(|at| at) };
        send(&mut recorder, begins, &nothing, &sounds(|at| at));
        recorder.video(0, avc_header(AVC_RECORD));
        let stamp = u32::try_from(begins + stamps).expect("positive");
        recorder.video(stamp, avc_frame(false, 66, 900));
        assert!(recorder.of("source").is_empty());
        let video = Tags { sent: begins..i64::MAX, gop: 30, ..pictures(move |at| at + stamps) };
        let audio = Tags { sent: begins..i64::MAX, ..sounds(|at| at) };
        send(&mut recorder, begins + 10_000, &video, &audio);
        recorder.finish();
        assert_eq!(discontinuities(&recorder), [DiscontinuityCause::VideoHeader], "{begins} {stamps}");
        let timeline = recorder.timeline.as_ref().expect("announced");
        let names: Vec<_> = timeline.tracks.iter().map(|track| track.name.as_str()).collect();
        assert_eq!(names, ["source", "audio"]);
        assert!(matches!(timeline.tracks[0].media, TrackMedia::Video { width: 640, height: 360, .. }));
        let (source, audio) = (recorder.of("source"), recorder.of("audio"));
        assert!(source.len() >= 4, "{begins}: {}", source.len());
        assert!(source[0].independent && source[0].discontinuity == 1, "{:?}", source[0]);
        for segment in source {
            let beside = audio.iter().find(|audio| audio.msn == segment.msn).expect("sound for each");
            assert_eq!((segment.discontinuity, segment.gap), (beside.discontinuity, false));
            assert!((segment.start.0 - beside.start.0).abs() <= 45_000, "{segment:?} {beside:?}");
        }
        assert!(audio.iter().all(|segment| !segment.gap));
    }
}

#[test]
fn a_header_of_video_without_pictures_does_not_hold_up_the_sound() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    let nothing = Tags { sent: 0..0, ..pictures(|at| at) };
    send(&mut recorder, 12_000, &nothing, &sounds(|at| at));
    let first = recorder.first_part_after.expect("sound");
    assert!((4_900..5_200).contains(&first), "{first}");
    assert!(recorder.of("source").is_empty());
    let video = Tags { sent: 12_000..i64::MAX, ..pictures(|at| at) };
    let audio = Tags { sent: 12_000..i64::MAX, ..sounds(|at| at) };
    send(&mut recorder, 20_000, &video, &audio);
    recorder.finish();
    assert!(recorder.of("source").len() >= 2);
}

#[test]
fn a_worker_that_takes_up_a_stream_of_sound_adds_the_video_that_its_publisher_has_by_now() {
    for sound in [true, false] {
        let mut before = Recorder::new(config());
        let radio = Publisher { video: false, ..OBS };
        radio.begin(&mut before);
        radio.send(&mut before, 0, 9_000, 0);
        let mut config = config();
        config.epoch = Epoch(2);
        config.resume = Some(Resume {
            timeline: before.timeline.clone().expect("announced"),
            clock: before.packager.clock(),
            floor: None,
            beyond: Beyond::SameEpoch,
        });
        let mut after = Recorder::new(config);
        let camera = Publisher { audio: sound, ..OBS };
        camera.begin(&mut after);
        after.at(9_000);
        camera.send(&mut after, 9_000, 20_000, 0);
        after.finish();
        assert!(after.of("source").len() >= 4, "{sound} {:?}", after.reports);
    }
}

#[test]
fn parts_of_the_sound_stay_within_85_percent_of_their_target_whatever_video_joins() {
    for frame_us in [16_667, 20_000, 33_333, 40_000, 41_667, 66_667, 100_000] {
        let mut recorder = Recorder::new(config());
        recorder.steady = true;
        recorder.metadata(None, false, true);
        recorder.audio(0, aac_header());
        let nothing = Tags { sent: 0..0, ..pictures(|at| at) };
        send(&mut recorder, 9_000, &nothing, &sounds(|at| at));
        recorder.video(0, avc_header(AVC_RECORD));
        let video = Tags { sent: 9_000..i64::MAX, frame_us, ..pictures(|at| at) };
        let audio = Tags { sent: 9_000..i64::MAX, ..sounds(|at| at) };
        send(&mut recorder, 25_000, &video, &audio);
        let held = recorder.timeline.as_ref().expect("announced").tracks.iter().map(|track| {
            let last = track.segments.back().expect("segments");
            last.start.plus(last.duration).0
        });
        let (first, last) = (held.clone().min().expect("two"), held.max().expect("two"));
        assert!(last - first <= 400_000, "the sound is not held back longer: {frame_us} {first} {last}");
        recorder.finish();
        assert!(recorder.of("source").len() >= 4, "{frame_us}");
    }
}
