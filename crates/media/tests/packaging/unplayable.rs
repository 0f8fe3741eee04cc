//! Publishers of whose media nothing can be packaged are given up, and what they sent is named.

use std::ops::Range;

use bytes::Bytes;
use caudal_livestream::{Generation, SessionId, UnixMillis};

use crate::publisher::OBS;
use crate::recorder::{AVC_RECORD, NOW, Recorder, aac_frame, aac_header, avc_frame, avc_header, config};

/// What a publisher sends each 40 ms, at that millisecond.
type Each = fn(&mut Recorder, u32);

/// Sends that over this time, with the worker's ticks between.
fn send(recorder: &mut Recorder, time: Range<u32>, each: Each) {
    for at in time.step_by(40) {
        recorder.at(at.into());
        each(recorder, at);
        recorder.tick();
    }
}

fn gives_up(recorder: &mut Recorder, each: Each) -> Option<(i64, String)> {
    send(recorder, 0..35_000, each);
    recorder.unplayable.first().cloned()
}

#[test]
fn a_publisher_of_whose_media_nothing_can_be_packaged_is_given_up_after_twenty_seconds_by_name() {
    let cases: [(&str, Each, &str); 17] = [
        (
            "AV1 inside an extension that the door does not look into",
            |to, at| to.video(at, Bytes::from_static(b"\x97\x02\0\0\0\x01av01\0\0\0obu")),
            "the video cannot be used (av01 is not supported); no sound came",
        ),
        (
            "pictures of a second track alone",
            |to, at| to.video(at, Bytes::from_static(b"\x96\x01avc1\x01\0\0\0nal")),
            "the video cannot be used (a second video track); no sound came",
        ),
        (
            "pictures whose header never comes",
            |to, at| to.video(at, avc_frame(at == 0, 0, 900)),
            "video came without a codec header; no sound came",
        ),
        (
            "a header of nothing, with each keyframe",
            |to, at| {
                to.video(at, avc_header(b"\x01\x64"));
                to.video(at, avc_frame(true, 0, 900));
            },
            "the video cannot be used (a codec configuration that is cut off); no sound came",
        ),
        (
            "a good header, and nothing else",
            |to, at| to.video(at, avc_header(AVC_RECORD)),
            "a codec header came, but no video; no sound came",
        ),
        (
            "messages between pictures without the pictures",
            |to, at| {
                to.video(0, avc_header(AVC_RECORD));
                to.video(at, Bytes::from_static(b"\x17\x01\0\0\0\0\0\0\x03\x06\x05\x80"));
            },
            "a codec header came, but no video; no sound came",
        ),
        (
            "pictures cut off in the middle",
            |to, at| {
                to.video(0, avc_header(AVC_RECORD));
                to.video(at, avc_frame(at == 0, 0, 900).slice(..400));
            },
            "video came that cannot be read (a picture whose lengths do not add up); no sound came",
        ),
        (
            "HEVC pictures behind an H.264 header",
            |to, at| {
                to.video(0, avc_header(AVC_RECORD));
                to.video(at, Bytes::from_static(b"\x91hvc1\0\0\0\0\0\0\x03\x26\x01\xaf"));
            },
            "video came that cannot be read (pictures of another codec than the header's); no sound came",
        ),
        (
            "inter pictures without any keyframe",
            |to, at| {
                to.video(0, avc_header(AVC_RECORD));
                to.video(at, avc_frame(false, 0, 900));
            },
            "video came, but no keyframe; no sound came",
        ),
        (
            "inter pictures that are called keyframes",
            |to, at| {
                to.video(0, avc_header(AVC_RECORD));
                to.video(at, Bytes::from_static(b"\x17\x01\0\0\0\0\0\0\x04\x41\x9a\x24\x40"));
            },
            "video came, but no keyframe; no sound came",
        ),
        (
            "the end of a sequence, again and again",
            |to, at| to.video(at, Bytes::from_static(b"\x17\x02\0\0\0")),
            "messages came that hold no video; no sound came",
        ),
        (
            "MP3 alone",
            |to, at| to.audio(at, Bytes::from_static(b"\x2f\xff\xfb\x90")),
            "no video came; the sound cannot be used (MP3 is not supported)",
        ),
        (
            "AAC frames without a header",
            |to, at| to.audio(at, aac_frame()),
            "no video came; sound came without a codec header",
        ),
        (
            "AAC behind a header that means nothing",
            |to, at| {
                to.audio(at, Bytes::from_static(b"\xaf\x00\xff\xff"));
                to.audio(at, aac_frame());
            },
            "no video came; the sound cannot be used (",
        ),
        (
            "an AAC header, and nothing else",
            |to, at| to.audio(at, aac_header()),
            "no video came; a codec header came, but no sound",
        ),
        (
            "inter pictures beside sound in a codec that is refused",
            |to, at| {
                to.video(0, avc_header(AVC_RECORD));
                to.video(at, avc_frame(false, 0, 900));
                to.audio(at, Bytes::from_static(b"\x90Opus\x01"));
            },
            "video came, but no keyframe; the sound cannot be used (Opus is not supported)",
        ),
        (
            "tags that end before they begin",
            |to, at| {
                to.video(at, Bytes::from_static(b"\x17\x01"));
                to.audio(at, Bytes::from_static(b"\xaf"));
            },
            "the video cannot be used (a tag that is cut off); the sound cannot be used (a tag that is cut off)",
        ),
    ];
    for (case, each, words) in cases {
        let mut recorder = Recorder::new(config());
        let (when, what) = gives_up(&mut recorder, each).expect(case);
        assert!((20_000..20_100).contains(&when), "{case}: {when}");
        assert!(what.starts_with(words), "{case}: {what}");
        assert!(what.len() <= 200, "{case}: {what}");
        assert_eq!((recorder.parts, recorder.unplayable.len()), (0, 1), "{case}");
    }
}

#[test]
fn what_can_be_packaged_at_last_is_not_given_up() {
    let late: [(&str, Each); 4] = [
        ("a keyframe after 15 s", |to, at| {
            to.video(0, avc_header(AVC_RECORD));
            to.video(at, avc_frame(at >= 15_000, 0, 900));
        }),
        ("a header after 15 s", |to, at| {
            if at == 15_000 {
                to.video(at, avc_header(AVC_RECORD));
            }
            to.video(at, avc_frame(true, 0, 900));
        }),
        ("sound alone", |to, at| {
            to.audio(0, aac_header());
            to.audio(at, aac_frame());
        }),
        ("sound beside pictures that cannot be packaged", |to, at| {
            to.audio(0, aac_header());
            to.audio(at, aac_frame());
            to.video(at, Bytes::from_static(b"\x97\x02\0\0\0\x01av01\0\0\0obu"));
        }),
    ];
    for (case, each) in late {
        let mut recorder = Recorder::new(config());
        assert_eq!(gives_up(&mut recorder, each), None, "{case}");
        assert!(recorder.parts > 0, "{case}");
    }
}

#[test]
fn only_time_in_which_media_comes_counts() {
    let mut recorder = Recorder::new(config());
    // Its header, a line that stalls for a minute, and then a camera that works.
    recorder.video(0, avc_header(AVC_RECORD));
    for at in 0..1_200 {
        recorder.at(at * 50);
        recorder.tick();
    }
    send(&mut recorder, 60_000..62_000, |to, at| to.video(at, avc_frame(at == 60_000, 0, 900)));
    assert_eq!(recorder.unplayable, []);
    assert!(recorder.parts > 0);
}

#[test]
fn another_session_of_a_running_broadcast_is_judged_by_what_itself_sends() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 10_000, 0);
    recorder.tick();
    recorder.packager.publisher_lost(UnixMillis(NOW + 10_000));
    recorder.packager.publisher(SessionId(uuid::Uuid::max()), Generation(2));
    send(&mut recorder, 12_000..55_000, |to, at| to.video(at, avc_frame(false, 0, 900)));
    let (when, what) = recorder.unplayable.first().cloned().expect("given up");
    assert!((32_000..32_100).contains(&when), "{when}");
    assert_eq!(what, "video came without a codec header; no sound came");
}

#[test]
fn one_that_has_been_packaged_may_be_at_fault_for_longer_than_its_changes_are_refused() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 10_000, 0);
    // Seven jumps within a minute; then the timestamps go on.
    for jump in 1..=7_i64 {
        let from = 10_000 + (jump - 1) * 1_000;
        OBS.send(&mut recorder, from, from + 1_000, jump * 3_600_000);
        recorder.tick();
    }
    for from in 17..80_i64 {
        OBS.send(&mut recorder, from * 1_000, (from + 1) * 1_000, 7 * 3_600_000);
        recorder.tick();
    }
    assert_eq!(recorder.unplayable, []);
    // From here on nothing can be read.
    send(&mut recorder, 80_000..200_000, |to, at| {
        to.video(at, Bytes::from_static(b"\x17\x01"));
    });
    let (when, what) = recorder.unplayable.first().cloned().expect("given up");
    assert!((169_000..171_100).contains(&when), "{when}");
    assert_eq!(what, "the video cannot be used (a tag that is cut off); no sound came");
}

#[test]
fn a_publisher_that_is_still_there_is_given_up_again_each_twenty_seconds() {
    let mut recorder = Recorder::new(config());
    send(&mut recorder, 0..65_000, |to, at| to.audio(at, aac_frame()));
    assert_eq!(recorder.unplayable.len(), 3, "{:?}", recorder.unplayable);
}
