//! Sound without a configuration that says how it is to be decoded never goes out under another one.

use bytes::Bytes;
use caudal_livestream::timeline::TrackMedia;
use caudal_livestream::{Generation, SessionId};
use caudal_media::MediaReport;

use crate::recorder::{
    AVC_RECORD, Recorder, aac_frame, aac_header, avc_frame, avc_header, config, rendition,
};

/// A layout without a number whose elements are 5.1's.
const SURROUND: &[u8] = b"\x11\x80\x04\xc8\x41\0\x01\x08\x80\0";
/// ffmpeg's `pan=5.1(side)`, whose elements come in an order that no number has.
const SIDE: &[u8] =
    b"\x11\x80\x04\xc8\x44\0\x20\0\xc4\x0d\x4c\x61\x76\x63\x35\x39\x2e\x33\x37\x2e\x31\x30\x30\x56\xe5\0";
/// ffmpeg's `pan=quad`, which is none of the standard's layouts.
const QUAD: &[u8] =
    b"\x11\x80\x04\xc4\x04\0\x21\x10\x0d\x4c\x61\x76\x63\x35\x39\x2e\x33\x37\x2e\x31\x30\x30\x56\xe5\0";

fn header(record: &[u8]) -> Bytes {
    Bytes::from([b"\xaf\0", record].concat())
}

fn frame(data: &[u8]) -> Bytes {
    Bytes::from([b"\xaf\x01", data].concat())
}

/// 48 kHz, stereo, AAC-LC.
fn adts(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len() + 7).expect("short");
    [&[0xFF, 0xF1, 0x4C, 0x80, length >> 3, length << 5, 0xFC][..], payload].concat()
}

/// Three seconds of 25 pictures and 50 sounds a second.
fn publish(recorder: &mut Recorder, from: u32, sound: impl Fn(u32) -> Bytes) {
    for n in 0..75_u32 {
        let at = from + n * 40;
        recorder.at(at.into());
        recorder.audio(at, sound(n));
        recorder.audio(at + 20, sound(n));
        recorder.video(at, avc_frame(n % 50 == 0, 0, 100));
        recorder.tick();
    }
}

fn begin(recorder: &mut Recorder) {
    recorder.metadata(Some(25_000), true, true);
    recorder.video(0, avc_header(AVC_RECORD));
}

fn holds(recorder: &Recorder, sound: &[u8]) -> bool {
    recorder.files[&rendition("audio")].windows(sound.len()).any(|bytes| bytes == sound)
}

fn audio(recorder: &Recorder) -> TrackMedia {
    let timeline = recorder.timeline.as_ref().expect("announced");
    timeline.track(&rendition("audio")).expect("always").media.clone()
}

#[test]
fn a_layout_that_is_written_out_goes_out_as_the_standard_one_that_it_is() {
    let mut recorder = Recorder::new(config());
    begin(&mut recorder);
    recorder.audio(0, header(SURROUND));
    publish(&mut recorder, 0, |_| frame(b"surround"));
    recorder.finish();
    assert!(recorder.refusals().is_empty(), "{:?}", recorder.reports);
    assert_eq!(audio(&recorder), TrackMedia::Audio { sample_rate: 48_000, channels: 6 });
    assert!(holds(&recorder, b"surround"));
    let (.., init) = recorder.inits.iter().find(|(of, ..)| *of == rendition("audio")).expect("an init");
    assert!(init.windows(2).any(|record| record == [0x11, 0xb0]), "AAC-LC, 48 kHz, configuration 6");
}

#[test]
fn sound_without_a_usable_configuration_is_silence_and_is_reported() {
    type Case = (&'static str, Option<&'static [u8]>, &'static [u8]);
    let cases: [Case; 5] = [
        ("ffmpeg's 5.1(side)", Some(SIDE), b"surround"),
        ("a layout that no browser plays", Some(QUAD), b"quadraphonic"),
        ("no header at all", None, b"unconfigured"),
        ("a header that is cut off", Some(b"\x11"), b"unconfigured"),
        ("AAC of a kind that browsers do not play", Some(b"\xb9\x88\0"), b"low delay"),
    ];
    for (case, record, sound) in cases {
        let mut recorder = Recorder::new(config());
        begin(&mut recorder);
        if let Some(record) = record {
            recorder.audio(0, header(record));
        }
        publish(&mut recorder, 0, |_| frame(sound));
        recorder.finish();
        assert!(!holds(&recorder, sound), "{case}");
        assert!(recorder.of("audio").iter().all(|segment| !segment.gap), "{case}");
        let reports = recorder.refusals().len();
        assert!((1..=2).contains(&reports), "{case}: {:?}", recorder.reports);
    }
}

#[test]
fn frames_before_their_header_are_dropped_and_those_behind_it_are_heard() {
    let mut recorder = Recorder::new(config());
    begin(&mut recorder);
    publish(&mut recorder, 0, |_| frame(b"too early"));
    recorder.audio(3000, aac_header());
    publish(&mut recorder, 3000, |_| frame(b"in time"));
    recorder.finish();
    assert!(!holds(&recorder, b"too early") && holds(&recorder, b"in time"));
}

#[test]
fn a_header_that_is_refused_in_mid_stream_silences_what_follows_it_until_a_good_one_comes() {
    let mut recorder = Recorder::new(config());
    begin(&mut recorder);
    recorder.audio(0, aac_header());
    publish(&mut recorder, 0, |_| frame(b"stereo"));
    recorder.audio(3000, header(QUAD));
    publish(&mut recorder, 3000, |_| frame(b"quadraphonic"));
    recorder.audio(6000, aac_header());
    publish(&mut recorder, 6000, |_| frame(b"again"));
    recorder.finish();
    assert!(holds(&recorder, b"stereo") && holds(&recorder, b"again") && !holds(&recorder, b"quadraphonic"));
}

#[test]
fn an_empty_header_says_nothing() {
    let mut recorder = Recorder::new(config());
    begin(&mut recorder);
    recorder.audio(0, aac_header());
    recorder.audio(0, header(b""));
    publish(&mut recorder, 0, |_| aac_frame());
    recorder.finish();
    assert!(recorder.refusals().is_empty(), "{:?}", recorder.reports);
    assert!(holds(&recorder, &aac_frame()[2..]));
}

#[test]
fn another_publisher_brings_its_own_header() {
    let mut recorder = Recorder::new(config());
    begin(&mut recorder);
    recorder.audio(0, aac_header());
    publish(&mut recorder, 0, |_| frame(b"stereo"));
    recorder.packager.publisher(SessionId(uuid::Uuid::max()), Generation(2));
    recorder.video(3000, avc_header(AVC_RECORD));
    publish(&mut recorder, 3000, |_| frame(b"unconfigured"));
    recorder.finish();
    assert!(holds(&recorder, b"stereo") && !holds(&recorder, b"unconfigured"));
}

#[test]
fn more_headers_than_are_allowed_never_put_frames_under_the_last_one_that_was() {
    let mut recorder = Recorder::new(config());
    begin(&mut recorder);
    recorder.audio(0, aac_header());
    for n in 0..10_u32 {
        publish(&mut recorder, n * 3000, |_| if n % 2 == 0 { frame(b"stereo") } else { frame(b"mono") });
        // Mono at 44.1 kHz, stereo at 48.
        recorder.audio(n * 3000 + 2999, if n % 2 == 0 { header(b"\x12\x08") } else { aac_header() });
    }
    let changes = recorder.of("audio").last().expect("segments").discontinuity;
    assert_eq!(changes, 6);
    let waits = recorder.reports.iter().filter(|report| **report == MediaReport::TooManyChanges).count();
    assert_eq!(waits, 1, "{:?}", recorder.reports);
    // The last change that was allowed is the one to stereo: behind it there is nothing of mono.
    let file = &recorder.files[&rendition("audio")];
    let last = |sound: &[u8]| file.windows(sound.len()).rposition(|bytes| bytes == sound).expect("heard");
    assert!(last(b"stereo") > last(b"mono"));
}

#[test]
fn adts_frames_are_unwrapped_and_say_themselves_how_they_are_decoded() {
    for with_header in [true, false] {
        let mut recorder = Recorder::new(config());
        begin(&mut recorder);
        if with_header {
            recorder.audio(0, aac_header());
        }
        publish(&mut recorder, 0, |_| frame(&adts(b"wrapped")));
        recorder.finish();
        assert!(recorder.refusals().is_empty(), "{with_header}: {:?}", recorder.reports);
        assert!(holds(&recorder, b"wrapped") && !holds(&recorder, &adts(b"wrapped")), "{with_header}");
    }
}

#[test]
fn adts_frames_of_another_rate_than_silence_are_not_decoded_as_silence_is() {
    let mut recorder = Recorder::new(config());
    begin(&mut recorder);
    let mut mono = adts(b"mono");
    // 44.1 kHz, one channel.
    (mono[2], mono[3]) = (0x50, 0x40);
    publish(&mut recorder, 0, |_| frame(&mono));
    recorder.finish();
    assert_eq!(audio(&recorder), TrackMedia::Audio { sample_rate: 44_100, channels: 1 });
}
