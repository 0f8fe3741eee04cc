//! The rules of ARCHITECTURE §5 for renditions below the source.

use caudal_livestream::timeline::SegmentPhase;
use caudal_livestream::{Generation, SessionId, UnixMillis};

use crate::publisher::{OBS, Publisher};
use crate::recorder::{NOW, OTHER_AVC_RECORD, Recorder, avc_header, config, rendition, rung};

#[test]
fn a_source_that_ffmpeg_does_not_decode_gets_no_rungs() {
    let mut config = config();
    config.ladder = vec![rung("240p", 240), rung("120p", 120)];
    let mut recorder = Recorder::new(config);
    recorder.packager.without_rungs();
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 5000, 0);
    recorder.finish();
    let names = recorder.timeline.as_ref().expect("announced").tracks.iter().map(|track| track.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["source", "audio"]);
}

#[test]
fn a_rung_that_was_withdrawn_comes_back_with_a_segment_and_is_shown_with_three() {
    let mut config = config();
    config.ladder = vec![rung("240p", 240)];
    let mut recorder = Recorder::new(config);
    let name = rendition("240p");
    OBS.begin(&mut recorder);
    let shown = |recorder: &Recorder| {
        recorder
            .timeline
            .as_ref()
            .is_some_and(|timeline| timeline.track(&rendition("240p")).is_some_and(|track| !track.withdrawn))
    };
    let mut returns = Vec::new();
    for half in 0..140 {
        OBS.send(&mut recorder, half * 500, (half + 1) * 500, 0);
        match half {
            // In the middle of a segment; and twice more, while it is back and while it is not shown yet.
            21 | 79 | 101 => {
                recorder.packager.withdraw(&name);
                recorder.drain();
                recorder.segments.remove(&name);
            }
            // The encoder begins with the GOP that is kept, in the middle of a segment.
            57 | 91 | 110 => {
                recorder.packager.rung_returns(&name);
                recorder.packager.rung_video(&name, 0, avc_header(OTHER_AVC_RECORD));
            }
            _ => {}
        }
        let before = shown(&recorder);
        let made = matches!(half, 0..21 | 57..79 | 91..101 | 110..);
        if made {
            recorder.encode(&name);
        } else {
            recorder.encodes.clear();
        }
        assert!(made || !shown(&recorder), "{half}");
        if shown(&recorder) && !before {
            returns.push(half);
            let track = recorder.timeline.as_ref().and_then(|timeline| timeline.track(&name)).expect("shown");
            let whole = track.segments.iter().filter(|segment| segment.phase != SegmentPhase::Open);
            assert_eq!(whole.count(), 3);
            assert!(track.segments.iter().all(|segment| !segment.gap && segment.independent), "{track:?}");
        }
    }
    recorder.finish();
    let (source, rung) = (recorder.of("source"), recorder.of("240p"));
    for rung in rung {
        let lead = source.iter().find(|source| source.msn == rung.msn).expect("the source has it too");
        assert_eq!((lead.start, lead.duration, false), (rung.start, rung.duration, rung.gap));
    }
    assert_eq!(returns, [72, 124], "three segments of two seconds behind the one that was open");
}

#[test]
fn a_rung_whose_encoder_starts_minutes_after_its_return_is_shown_all_the_same() {
    let mut config = config();
    config.ladder = vec![rung("240p", 240)];
    let mut recorder = Recorder::new(config);
    let name = rendition("240p");
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 7_000, 0);
    recorder.packager.withdraw(&name);
    recorder.drain();
    recorder.segments.remove(&name);
    recorder.packager.rung_returns(&name);
    // More segments than the plan remembers.
    OBS.send(&mut recorder, 7_000, 307_000, 0);
    recorder.encodes.clear();
    recorder.packager.rung_video(&name, 0, avc_header(OTHER_AVC_RECORD));
    OBS.send(&mut recorder, 307_000, 321_000, 0);
    recorder.encode(&name);
    let timeline = recorder.timeline.as_ref().expect("frozen");
    let track = timeline.track(&name).expect("a rung");
    assert!(!track.withdrawn && track.segments.iter().all(|segment| !segment.gap), "{track:?}");
}

#[test]
fn a_rung_loses_no_picture_when_the_source_begins_to_reorder_its_own() {
    for (what, sound_first) in [("at once", 0), ("behind a gap that only sound has filled", 3_000)] {
        let mut config = config();
        config.ladder = vec![rung("240p", 240)];
        let mut recorder = Recorder::new(config);
        let name = rendition("240p");
        let plain = Publisher { composition: 0, ..OBS };
        plain.begin(&mut recorder);
        plain.send(&mut recorder, 0, 6_000, 0);
        let mut pictures = recorder.encode(&name);
        recorder.packager.publisher_lost(UnixMillis(NOW + 6_000));
        recorder.packager.publisher(SessionId(uuid::Uuid::max()), Generation(2));
        OBS.begin(&mut recorder);
        let all = 16_000..22_000;
        OBS.send_but(&mut recorder, all.start, all.end, -16_000, all.start..all.start + sound_first, 0..0);
        pictures += recorder.encode(&name);
        recorder.finish();
        assert_eq!(recorder.pictures_of(&name), pictures, "{what}");
    }
}

#[test]
fn a_rung_follows_the_source_cut_by_cut() {
    let mut config = config();
    config.ladder = vec![rung("720p", 720), rung("240p", 240), rung("120p", 120)];
    let mut recorder = Recorder::new(config);
    OBS.begin(&mut recorder);
    let mut sent = 0;
    for second in 0..9 {
        OBS.send(&mut recorder, second * 1000, (second + 1) * 1000, 0);
        sent += recorder.encode(&rendition("240p"));
    }
    recorder.finish();
    let names: Vec<String> = recorder
        .timeline
        .as_ref()
        .expect("frozen")
        .tracks
        .iter()
        .map(|track| track.name.to_string())
        .collect();
    assert_eq!(names, ["source", "240p", "120p", "audio"], "never upscaled");
    assert_eq!(sent, 270);
    let (source, rung) = (recorder.of("source"), recorder.of("240p"));
    assert_eq!(source.len(), rung.len());
    for (source, rung) in source.iter().zip(rung) {
        assert_eq!((source.msn, source.start, source.duration), (rung.msn, rung.start, rung.duration));
        let lengths = |parts: &[caudal_livestream::timeline::Part]| -> Vec<u64> {
            parts.iter().map(|part| part.duration.0).collect()
        };
        assert_eq!(lengths(&source.parts), lengths(&rung.parts));
    }
    assert!(recorder.of("120p").iter().all(|segment| segment.gap), "an encoder that never came leaves gaps");
}

#[test]
fn a_rung_that_lags_has_each_picture_in_its_own_segment_whatever_frame_rate_is_claimed() {
    for fps_milli in [5_000, 30_000, 120_000] {
        let mut config = config();
        config.ladder = vec![rung("240p", 240)];
        let mut recorder = Recorder::new(config);
        recorder.metadata(Some(fps_milli), true, true);
        OBS.headers(&mut recorder);
        OBS.send(&mut recorder, 0, 6_000, 0);
        // The plan is closed to its end before the encoder's first picture comes.
        recorder.packager.publisher_lost(UnixMillis(NOW + 6_000));
        recorder.at(8_000);
        recorder.tick();
        assert_eq!(recorder.encode(&rendition("240p")), 180);
        recorder.finish();
        let pictures: Vec<usize> = recorder
            .of("240p")
            .iter()
            .map(|segment| &recorder.wholes[&(rendition("240p"), segment.msn)])
            .map(|whole| {
                whole
                    .windows(8)
                    .filter(|bytes| bytes.starts_with(&[0, 0, 1, 44]) && bytes.ends_with(b"AAA"))
                    .count()
            })
            .collect();
        assert_eq!(pictures, [60, 60, 60], "{fps_milli}");
    }
}
