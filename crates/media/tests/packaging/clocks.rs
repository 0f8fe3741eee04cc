//! Publishers whose two tracks do not keep the same time.

use std::ops::Range;

use caudal_livestream::{Generation, SessionId, UnixMillis};
use caudal_media::{DiscontinuityCause, MediaReport};

use crate::publisher::{OBS, Publisher};
use crate::recorder::{NOW, Recorder, aac_frame, avc_frame, config, rendition};
use crate::rules::discontinuities;

/// One track of a publisher: what it sends, when by the wall clock, and with which timestamps.
pub(crate) struct Tags {
    pub(crate) frame_us: i64,
    pub(crate) gop: i64,
    pub(crate) stamps: Box<dyn Fn(i64) -> i64>,
    pub(crate) delay: i64,
    pub(crate) sent: Range<i64>,
    pub(crate) skipped: Option<Box<dyn Fn(i64) -> bool>>,
}

pub(crate) fn pictures(stamps: impl Fn(i64) -> i64 + 'static) -> Tags {
    Tags { frame_us: 33_333, gop: 60, stamps: Box::new(stamps), delay: 0, sent: 0..i64::MAX, skipped: None }
}

pub(crate) fn sounds(stamps: impl Fn(i64) -> i64 + 'static) -> Tags {
    Tags { frame_us: 21_333, gop: 1, ..pictures(stamps) }
}

/// Sends both tracks for `length` milliseconds as they come by the wall clock, with a tick every 50 ms.
pub(crate) fn send(recorder: &mut Recorder, length: i64, video: &Tags, audio: &Tags) {
    let mut acts: Vec<(i64, u8, i64)> = (0..length / 50).map(|n| (n * 50, 2, n)).collect();
    for (kind, tags) in [(0, video), (1, audio)] {
        let frames = (0..).map(|n| (n * tags.frame_us / 1000, n)).take_while(|(at, _)| *at < length);
        acts.extend(
            frames
                .filter(|(at, _)| {
                    tags.sent.contains(at) && !tags.skipped.as_ref().is_some_and(|skipped| skipped(*at))
                })
                .map(|(at, n)| (at + tags.delay, kind, n)),
        );
    }
    acts.sort_unstable();
    for (wall, kind, n) in acts {
        recorder.at(wall);
        let stamp = |tags: &Tags| {
            let at = (tags.stamps)(n * tags.frame_us / 1000).rem_euclid(1 << 32);
            u32::try_from(at).expect("32 bits")
        };
        match kind {
            0 => recorder.video(stamp(video), avc_frame(n % video.gop == 0, 66, 900)),
            1 => recorder.audio(stamp(audio), aac_frame()),
            _ => recorder.tick(),
        }
    }
}

/// How many of the frames are the publisher's own, and not silence.
fn real_sounds(recorder: &Recorder) -> usize {
    count(recorder, "audio", &aac_frame()[2..])
}

fn real_pictures(recorder: &Recorder) -> usize {
    let of = |keyframe| count(recorder, "source", &avc_frame(keyframe, 0, 900)[5..]);
    of(true) + of(false)
}

fn count(recorder: &Recorder, name: &str, frame: &[u8]) -> usize {
    let name = rendition(name);
    let segments = recorder.wholes.iter().filter(|((of, _), _)| *of == name);
    segments.map(|(_, data)| data.windows(frame.len()).filter(|window| *window == frame).count()).sum()
}

fn without_gaps(recorder: &Recorder) -> bool {
    recorder.segments.values().flatten().all(|segment| !segment.gap)
}

#[test]
fn tracks_on_clocks_an_hour_apart_play_together_without_a_discontinuity() {
    for apart in [3_100, 3_600_000, 1 << 31, -3_600_000] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        send(&mut recorder, 10_000, &pictures(|at| at), &sounds(move |at| at + apart));
        recorder.finish();
        recorder.check_alignment(45_000);
        assert_eq!(discontinuities(&recorder), [], "{apart}");
        assert!(without_gaps(&recorder), "{apart}");
        assert!(real_sounds(&recorder) > 450, "{apart}: {}", real_sounds(&recorder));
        assert_eq!(real_pictures(&recorder), 301, "{apart}");
    }
}

#[test]
fn a_video_clock_that_begins_anew_under_running_audio_is_one_discontinuity() {
    for stamps in [
        |at| if at < 5_000 { 60_000 + at } else { at - 5_000 },
        |at| {
            if at < 5_000 { at } else { at + 9_000 }
        },
    ] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        send(&mut recorder, 12_000, &pictures(stamps), &sounds(|at| 60_000 + at));
        recorder.finish();
        recorder.check_alignment(45_000);
        assert_eq!(discontinuities(&recorder), [DiscontinuityCause::Jump]);
        assert_eq!(real_pictures(&recorder), 361, "no picture is dropped");
        assert!(real_sounds(&recorder) > 540, "{}", real_sounds(&recorder));
        assert!(without_gaps(&recorder));
    }
}

#[test]
fn an_audio_clock_that_begins_anew_under_running_video_is_not_even_seen() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    let restart = |at| if at % 4_000 < 2_000 { 60_000 + at } else { at };
    send(&mut recorder, 20_000, &pictures(|at| 60_000 + at), &sounds(restart));
    recorder.finish();
    recorder.check_alignment(45_000);
    assert_eq!(discontinuities(&recorder), []);
    assert_eq!(real_pictures(&recorder), 601);
    assert!(real_sounds(&recorder) > 920, "{}", real_sounds(&recorder));
    assert!(without_gaps(&recorder));
}

#[test]
fn both_clocks_that_jump_together_are_one_discontinuity_and_stay_in_step() {
    for jump in [3_600_000, -1_500, -2_900, -29_000, 3_500] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        let stamps = move |at| if at < 5_500 { 60_000 + at } else { 60_000 + at + jump };
        send(&mut recorder, 12_000, &pictures(stamps), &sounds(stamps));
        recorder.finish();
        recorder.check_alignment(45_000);
        assert_eq!(discontinuities(&recorder), [DiscontinuityCause::Jump], "{jump}");
        assert_eq!(real_pictures(&recorder), 361, "{jump}: no step is lost");
        assert!(real_sounds(&recorder) > 545, "{jump}: {}", real_sounds(&recorder));
    }
}

#[test]
fn audio_that_lags_seconds_behind_its_pictures_is_heard() {
    for lag in [300, 1_200, 1_300, 2_500, 4_500] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        let audio = Tags { delay: lag, ..sounds(|at| at) };
        send(&mut recorder, 30_000, &pictures(|at| at), &audio);
        recorder.finish();
        recorder.check_alignment(45_000);
        assert_eq!(discontinuities(&recorder), [], "{lag}");
        assert!(without_gaps(&recorder), "{lag}");
        let silences =
            recorder.reports.iter().filter(|report| matches!(report, MediaReport::Silence { .. })).count();
        assert!(silences <= 1, "{lag}: {silences}");
        let lost = usize::try_from(2 * lag / 21 + 10).expect("few");
        assert!(real_sounds(&recorder) + lost > 1_406, "{lag}: {}", real_sounds(&recorder));
    }
}

#[test]
fn another_session_that_begins_at_zero_within_seconds_is_not_taken_for_a_replay() {
    for first in [1_000, 2_000, 2_900, 20_000] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        send(&mut recorder, first, &pictures(|at| at), &sounds(|at| at));
        let before = real_pictures(&recorder);
        recorder.packager.publisher_lost(UnixMillis(NOW + first));
        recorder.packager.publisher(SessionId(uuid::Uuid::max()), Generation(2));
        recorder.at(first + 500);
        OBS.begin(&mut recorder);
        // The tail of a GOP that nobody has the beginning of.
        for n in 0..5 {
            recorder.video(n * 33, avc_frame(false, 66, 700));
        }
        for n in 5..95_u32 {
            recorder.at(first + 500 + i64::from(n) * 33);
            recorder.video(n * 33, avc_frame(n == 5, 66, 900));
            recorder.audio(n * 33, aac_frame());
        }
        recorder.finish();
        assert_eq!(discontinuities(&recorder), [DiscontinuityCause::Jump], "{first}");
        let source = recorder.of("source");
        let run = source.iter().find(|segment| segment.discontinuity == 1).expect("the new session");
        assert!(run.independent && run.start.0 >= 24_000_000 + (first + 500) * 1000, "{first} {run:?}");
        let pictures = real_pictures(&recorder);
        assert!(pictures >= before.max(usize::try_from(first / 34).expect("few")) + 90, "{first} {pictures}");
        let tail = &avc_frame(false, 0, 700)[5..];
        let file = &recorder.files[&rendition("source")];
        assert!(!file.windows(tail.len()).any(|window| window == tail), "{first}");
    }
}

#[test]
fn a_session_that_is_lost_before_its_first_media_is_still_another_one() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    send(&mut recorder, 2_500, &pictures(|at| at), &sounds(|at| at));
    let other = SessionId(uuid::Uuid::max());
    recorder.packager.publisher(other, Generation(2));
    recorder.packager.publisher_lost(UnixMillis(NOW + 2_600));
    recorder.packager.publisher(other, Generation(2));
    OBS.begin(&mut recorder);
    for n in 0..60_u32 {
        recorder.at(2_700 + i64::from(n) * 33);
        recorder.video(n * 33, avc_frame(n == 0, 66, 900));
    }
    recorder.finish();
    assert_eq!(discontinuities(&recorder), [DiscontinuityCause::Jump]);
}

#[test]
fn nothing_of_another_session_goes_out_before_its_own_headers() {
    for before in [100, 4_000] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        send(&mut recorder, before, &pictures(|at| at), &sounds(|at| at));
        recorder.packager.publisher(SessionId(uuid::Uuid::max()), Generation(2));
        let tags = |recorder: &mut Recorder, seconds: std::ops::Range<u32>, size| {
            for n in seconds.start * 30..seconds.end * 30 {
                recorder.at(before + i64::from(n) * 100 / 3);
                recorder.video(n * 100 / 3, avc_frame(n % 60 == 0, 66, size));
                recorder.audio(n * 100 / 3, aac_frame());
                recorder.tick();
            }
        };
        tags(&mut recorder, 0..4, 700);
        let sounds_before = if before > 1_000 { real_sounds(&recorder) } else { 0 };
        OBS.begin(&mut recorder);
        tags(&mut recorder, 4..8, 900);
        recorder.finish();
        let headless = |keyframe| count(&recorder, "source", &avc_frame(keyframe, 0, 700)[5..]);
        assert_eq!((headless(true), headless(false)), (0, 0), "{before}");
        let heard = real_sounds(&recorder) - sounds_before;
        assert!((100..=230).contains(&heard), "{before}: {heard}");
        let last = recorder.of("source").last().expect("segments");
        assert_eq!(last.discontinuity, u64::from(before > 1_000), "{before} {:?}", recorder.reports);
        assert!(without_gaps(&recorder) || before > 1_000, "{before}");
    }
}

#[test]
fn media_that_comes_much_faster_than_it_plays_is_bounded_and_reported() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    for n in 0..1_350_u32 {
        recorder.video(n * 100 / 3, avc_frame(n % 60 == 0, 66, 900));
    }
    let newest = |recorder: &Recorder| {
        let last = recorder.of("source").last().expect("segments");
        last.program_date_time.0 + i64::try_from(last.duration.0 / 1000).expect("short")
    };
    assert!(newest(&recorder) - NOW <= 20_100, "{}", newest(&recorder) - NOW);
    assert_eq!(recorder.reports.iter().filter(|report| **report == MediaReport::TooFast).count(), 1);
    // In real time it goes on, once the wall clock has come nearer.
    for n in 0..900_u32 {
        recorder.at(i64::from(n) * 100 / 3);
        recorder.video(45_000 + n * 100 / 3, avc_frame(n % 60 == 0, 66, 900));
    }
    recorder.finish();
    assert_eq!(discontinuities(&recorder), [DiscontinuityCause::Jump]);
    let source = recorder.of("source");
    let run = source.iter().find(|segment| segment.discontinuity == 1).expect("it goes on");
    assert!(run.independent, "{run:?}");
    assert!(newest(&recorder) - NOW > 38_000, "{}", newest(&recorder) - NOW);
}

#[test]
fn slides_without_sound_are_no_jumps() {
    let mut recorder = Recorder::new(config());
    let slides = Publisher { audio: false, ..OBS };
    slides.begin(&mut recorder);
    for n in 0..12_u32 {
        for tick in 0..100 {
            recorder.at(i64::from(n) * 5_000 + tick * 50);
            recorder.tick();
        }
        recorder.video((n + 1) * 5_000, avc_frame(true, 0, 900));
    }
    recorder.finish();
    assert_eq!(discontinuities(&recorder), []);
    assert!(!recorder.reports.contains(&MediaReport::TooManyChanges));
}

#[test]
fn slow_pictures_beside_sound_are_no_jumps() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    let slides = Tags { frame_us: 4_500_000, gop: 1, ..pictures(|at| at) };
    send(&mut recorder, 40_000, &slides, &sounds(|at| at));
    recorder.finish();
    assert_eq!(discontinuities(&recorder), []);
    assert!(real_pictures(&recorder) >= 9, "some are sent again");
}

#[test]
fn sound_whose_clock_is_slower_or_faster_is_put_beside_the_pictures_again_and_takes_none_of_them() {
    for (num, den) in [(4, 5), (6, 5), (7, 2)] {
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        send(&mut recorder, 120_000, &pictures(|at| at), &sounds(move |at| at * num / den));
        recorder.finish();
        assert_eq!(discontinuities(&recorder), [], "{num}/{den}");
        assert!(without_gaps(&recorder), "{num}/{den}");
        assert!(!recorder.reports.contains(&MediaReport::TooFast), "{num}/{den}");
        let lasts = recorder.of("audio").len() - 10;
        let late = recorder.of("audio")[lasts..].to_vec();
        let frame = &aac_frame()[2..];
        let heard = late.iter().any(|segment| {
            let bytes = &recorder.wholes[&(rendition("audio"), segment.msn)];
            bytes.windows(frame.len()).any(|window| window == frame)
        });
        assert!(heard, "{num}/{den}: sound comes back");
    }
}

#[test]
fn pictures_whose_timestamps_stand_still_are_reported_once() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    send(&mut recorder, 20_000, &pictures(|_| 0), &sounds(|at| at));
    recorder.finish();
    let said = recorder.reports.iter().filter(|report| **report == MediaReport::StandingStill).count();
    assert_eq!(said, 1);
}

#[test]
fn a_line_that_flaps_costs_no_publisher_its_broadcast() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    for session in 1..=12_u128 {
        recorder.packager.publisher_lost(recorder.wall());
        recorder.packager.publisher(SessionId(uuid::Uuid::from_u128(session)), Generation(1));
        OBS.begin(&mut recorder);
        let from = i64::try_from(session).expect("small") * 2_000;
        let length = if session == 12 { 60_000 } else { 2_000 };
        let stamps = move |at: i64| at - from;
        let of = |tags: Tags| Tags { sent: from..from + length, ..tags };
        send(&mut recorder, from + length, &of(pictures(stamps)), &of(sounds(stamps)));
    }
    assert_eq!(recorder.unplayable, []);
    assert!(real_pictures(&recorder) > 60 * 29, "{}", real_pictures(&recorder));
}
