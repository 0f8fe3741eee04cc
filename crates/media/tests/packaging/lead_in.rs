//! What stands before a broadcast's first media, made of that, as other people's programs read it.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use caudal_livestream::{Epoch, Generation, Msn, SessionId, UnixMillis};
use caudal_media::codec::aac::AacConfig;
use caudal_media::flv::{FlvTag, TagKind};
use caudal_media::lead_in::{LeadIn, SEGMENTS, Span, make};
use caudal_media::playlist::{Delivery, media};
use caudal_media::{Beyond, Packager, PackagerConfig, Resume};

use crate::clocks::{Tags, pictures, send, sounds};
use crate::publisher::OBS;
use crate::real_encoders::{frames, package, publish, read};
use crate::recorder::{NOW, Recorder, avc_frame, config, rendition, rung};

/// Init, lead-in and first segment of a rendition as one file: the last segment of the lead-in whole or in parts.
fn led_in(recorder: &Recorder, name: &str, in_parts: bool) -> Vec<u8> {
    let name = rendition(name);
    let timeline = recorder.timeline.as_ref().expect("a timeline");
    let lead_in = LeadIn::of(timeline, timeline.track(&name).expect("announced")).expect("a lead-in");
    let hash = lead_in.first().init.as_ref().expect("an init").to_string();
    let (.., init) =
        recorder.inits.iter().find(|(of, known, _)| *of == name && *known == hash).expect("an init");
    let first = &recorder.wholes[&(name, lead_in.first().msn)];
    let whole = SEGMENTS - u64::from(in_parts);
    let mut spans: Vec<Span> = (0..whole).map(|msn| lead_in.segment(Msn(msn)).expect("a segment")).collect();
    spans.extend(lead_in.parts().filter(|_| in_parts));
    let media = Bytes::from(first.clone());
    let mut file = init.to_vec();
    for span in spans {
        file.extend(make(span, init, &media).expect("a lead-in"));
    }
    file.extend(first);
    file
}

/// Decode times of all samples, in ticks.
fn times(file: &Path) -> Vec<i64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=dts", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .expect("ffprobe runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_whitespace().map(|line| line.trim_end_matches(',').parse().expect("a number")).collect()
}

/// Nothing is missing between the lead-in and the first media, nothing overlaps, and a decoder has nothing to complain of.
fn check(recorder: &Recorder, name: &str, case: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("led-in.mp4");
    for in_parts in [false, true] {
        std::fs::write(&file, led_in(recorder, name, in_parts)).expect("written");
        let times = times(&file);
        let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if name == "audio" {
            // Frames of one length throughout.
            assert!(steps.iter().all(|step| *step == steps[0]), "{case}: {steps:?}");
            decodes(&file);
            continue;
        }
        let mut pieces = vec![2_000; if in_parts { 6 } else { 7 }];
        pieces.extend(vec![200; if in_parts { 10 } else { 0 }]);
        assert_eq!(steps[..pieces.len()], pieces, "{case}");
        let decoded = frames(&file, "v");
        assert_eq!(decoded.len(), times.len(), "{case}: every picture is shown");
        let (led, media) = decoded.split_at(pieces.len());
        assert!(led.iter().all(|(_, hash)| *hash == media[0].1), "{case}: it is the first picture");
        assert_eq!(media[0].0 - led[0].0, 14_000, "{case}");
    }
}

fn decodes(file: &Path) {
    let mut ffmpeg = Command::new("ffmpeg");
    let output =
        ffmpeg.args(["-v", "error", "-i"]).arg(file).args(["-f", "null", "-"]).output().expect("ffmpeg runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn players_see_the_first_picture_and_hear_silence_until_the_first_media_without_a_gap_or_an_overlap() {
    let folder = tempfile::tempdir().expect("a folder");
    let flv = folder.path().join("source.flv");
    for (case, video, audio) in [
        ("30 fps with B-frames", &["-r", "30", "-g", "60", "-bf", "2"][..], &["-ar", "48000"][..]),
        ("NTSC, 44.1 kHz", &["-r", "30000/1001", "-g", "60", "-bf", "0"], &["-ar", "44100"]),
        ("portrait, mono", &["-r", "30", "-g", "60", "-vf", "scale=180:320"], &["-ac", "1"]),
        ("30 fps, 5.1", &["-r", "30", "-g", "30"], &["-ac", "6"]),
    ] {
        publish(&flv, &[video, audio].concat(), 3);
        let recorder = package(&read(&flv));
        check(&recorder, "source", case);
        check(&recorder, "audio", case);
    }
}

#[test]
fn silence_of_every_kind_leads_in_to_sound_without_pictures_and_to_pictures_without_sound() {
    for (case, record) in [("HE-AAC", &[0x2b, 0x11, 0x88, 0x00][..]), ("8 kHz", &[0x15, 0x88])] {
        let config_of = AacConfig::parse(&Bytes::copy_from_slice(record)).expect("a usual one");
        let mut recorder = Recorder::new(config());
        recorder.metadata(None, false, true);
        recorder.audio(0, Bytes::from([&[0xaf, 0], record].concat()));
        let frame = i64::from(config_of.frame_samples) * 1000 / i64::from(config_of.core_rate);
        for n in 0..6_000 / frame {
            recorder.at(n * frame);
            let body = [&[0xaf, 1], &config_of.silent_frame()[..]].concat();
            recorder.audio(u32::try_from(n * frame).expect("small"), Bytes::from(body));
        }
        check(&recorder, "audio", case);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let flv = folder.path().join("source.flv");
    publish(&flv, &["-r", "30", "-g", "60", "-bf", "0"], 3);
    let silent: Vec<FlvTag> = read(&flv).into_iter().filter(|tag| tag.kind == TagKind::Video).collect();
    let mut recorder = Recorder::new(config());
    recorder.metadata(None, true, false);
    for tag in silent {
        recorder.at(tag.timestamp_ms.into());
        recorder.video(tag.timestamp_ms, tag.body);
    }
    check(&recorder, "source", "without sound");
    check(&recorder, "audio", "without sound");
}

/// Whether playlists begin with a lead-in (true) or with gaps.
fn begins(recorder: &Recorder, name: &str) -> bool {
    let timeline = recorder.timeline.as_ref().expect("a timeline");
    let text = media(timeline, timeline.track(&rendition(name)).expect("announced"), Delivery::Full);
    let gaps = text.matches("#EXT-X-GAP").count();
    let parts = text.matches("URI=\"l").count();
    assert!((gaps, parts > 0) == (7, false) || (gaps, parts > 0) == (0, true), "{text}");
    gaps == 0
}

#[test]
fn every_rendition_begins_with_a_lead_in_of_its_own() {
    let mut config = config();
    config.ladder = vec![rung("240p", 240)];
    let mut recorder = Recorder::new(config);
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 1_000, 0);
    recorder.encode(&rendition("240p"));
    for name in ["source", "240p", "audio"] {
        assert!(begins(&recorder, name), "{name}");
    }
    let first = |name: &str| {
        recorder.timeline.as_ref().and_then(|all| all.track(&rendition(name))?.segments.front().cloned())
    };
    let (source, rung) = (first("source").expect("a segment"), first("240p").expect("a segment"));
    assert_eq!(source.start, rung.start);
    assert_ne!(source.init, rung.init);
    OBS.send(&mut recorder, 1_000, 5_000, 0);
    let marked = recorder.segments.values().flatten().filter(|segment| segment.lead_in);
    assert!(marked.clone().count() >= 2 && marked.clone().all(|segment| segment.msn == Msn(7)));
}

#[test]
fn pictures_before_their_sound_leave_room_for_a_lead_in() {
    for lag in [0, 1_500, 2_900] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        // The sound comes first and is dated later.
        let video = Tags { delay: 40, ..pictures(|at| at) };
        send(&mut recorder, 4_000, &video, &sounds(move |at| at + lag));
        assert!(begins(&recorder, "source") && begins(&recorder, "audio"), "{lag}");
    }
}

#[test]
fn a_first_picture_that_may_not_be_sent_again_has_gaps_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let flv = folder.path().join("source.flv");
    publish(&flv, &["-r", "30", "-g", "60", "-bf", "0", "-x264-params", "scenecut=0:intra-refresh=1"], 6);
    let joined_late = |tag: &FlvTag| tag.timestamp_ms > 500 || tag.kind != TagKind::Video || tag.body[1] == 0;
    let tags: Vec<FlvTag> = read(&flv).into_iter().filter(joined_late).collect();
    let mut recorder = Recorder::new(config());
    recorder.metadata(None, true, true);
    for tag in tags {
        recorder.at(tag.timestamp_ms.into());
        match tag.kind {
            TagKind::Video => recorder.video(tag.timestamp_ms, tag.body),
            TagKind::Audio => recorder.audio(tag.timestamp_ms, tag.body),
            TagKind::Script => {}
        }
    }
    let source = recorder.of("source");
    assert!(source[0].independent && !source[0].lead_in, "{:?}", source[0]);
    assert!(!begins(&recorder, "source"));
    assert!(begins(&recorder, "audio"), "silence can stand before any sound");
}

#[test]
fn a_slide_that_is_a_segment_of_its_own_has_a_lead_in() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    let slides = Tags { frame_us: 5_000_000, gop: 1, ..pictures(|at| at) };
    send(&mut recorder, 11_000, &slides, &sounds(|at| at));
    let first = recorder.of("source").first().expect("a segment").clone();
    assert!(first.lead_in && !first.gap, "{first:?}");
    let whole = Bytes::from(recorder.wholes[&(rendition("source"), first.msn)].clone());
    let (.., init) = recorder.inits.iter().find(|(of, ..)| *of == rendition("source")).expect("an init");
    let timeline = recorder.timeline.as_ref().expect("a timeline");
    let of =
        LeadIn::of(timeline, timeline.track(&rendition("source")).expect("announced")).expect("a lead-in");
    let made = make(of.segment(Msn(6)).expect("a segment"), init, &whole).expect("a lead-in");
    let picture = &avc_frame(true, 66, 900)[5..];
    assert!(made.windows(picture.len()).any(|window| window == picture), "the slide is in it");
}

#[test]
fn a_worker_that_takes_over_in_the_first_seconds_keeps_the_lead_in() {
    let mut before = Recorder::new(config());
    OBS.begin(&mut before);
    OBS.send(&mut before, 0, 3_500, 0);
    let timeline = before.timeline.clone().expect("a timeline");
    let clock = before.packager.clock();
    let resume = Resume { timeline: timeline.clone(), clock, floor: None, beyond: Beyond::SameEpoch };
    let mut after = Recorder::new(PackagerConfig { epoch: Epoch(2), resume: Some(resume), ..config() });
    OBS.begin(&mut after);
    OBS.send(&mut after, 0, 5_000, 0);
    let now = after.timeline.clone().expect("a timeline");
    for name in ["source", "audio"] {
        let name = rendition(name);
        let first = |of: &caudal_livestream::timeline::Timeline| {
            of.track(&name).expect("announced").segments[0].clone()
        };
        let (was, is) = (first(&timeline), first(&now));
        assert!(
            is.lead_in && !is.gap && (was.msn, was.epoch, was.start) == (is.msn, is.epoch, is.start),
            "{is:?}"
        );
        let span = LeadIn::of(&now, now.track(&name).expect("announced")).and_then(|of| of.segment(Msn(0)));
        let made = |recorder: &Recorder| {
            let (.., init) = recorder.inits.iter().find(|(of, ..)| *of == name).expect("an init");
            let whole = Bytes::from(recorder.wholes[&(name.clone(), Msn(7))].clone());
            make(span.expect("a segment"), init, &whole).expect("a lead-in")
        };
        assert_eq!(made(&before), made(&after), "of either worker's bytes");
    }
}

#[test]
fn a_first_segment_that_was_lost_has_gaps_before_it() {
    let mut before = Recorder::new(config());
    OBS.begin(&mut before);
    OBS.send(&mut before, 0, 3_500, 0);
    let resume = Resume {
        timeline: before.timeline.clone().expect("a timeline"),
        clock: before.packager.clock(),
        floor: None,
        beyond: Beyond::SameEpoch,
    };
    let mut packager = Packager::new(PackagerConfig { epoch: Epoch(2), resume: Some(resume), ..config() });
    packager.publisher(SessionId(uuid::Uuid::nil()), Generation(1));
    packager.finish(UnixMillis(NOW + 60_000));
    let mut timeline = packager.timeline().expect("a timeline").clone();
    timeline.ended = false;
    let track = timeline.track(&rendition("source")).expect("announced");
    assert!(track.segments[0].gap && LeadIn::of(&timeline, track).is_none());
    assert!(media(&timeline, track, Delivery::Full).matches("#EXT-X-GAP").count() >= 7);
}
