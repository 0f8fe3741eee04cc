//! A worker is lost under a publisher whose pictures, or whose keyframes, lie far apart.

use caudal_livestream::{Generation, SessionId};
use caudal_media::MediaReport;

use crate::publisher::OBS;
use crate::recorder::{Recorder, aac_frame, avc_frame, config};
use crate::resumption::next as next_worker;
use crate::rules::discontinuities;

struct Case {
    what: &'static str,
    /// Milliseconds between pictures, and how many of them there are to a keyframe.
    picture: i64,
    gop: i64,
    /// Only so many pictures are ever sent.
    pictures: i64,
    sound: bool,
    killed: i64,
}

const CASE: Case = Case { what: "", picture: 4_500, gop: 1, pictures: i64::MAX, sound: true, killed: 40_000 };

impl Case {
    /// Sends what was made from one millisecond to another, but of the sound only what is younger than 30 s; at those times,
    /// or at once.
    fn send(&self, recorder: &mut Recorder, from: i64, to: i64, at: Option<i64>) {
        let pictures =
            (0..self.pictures).map(|n| (n * self.picture, 0, n)).take_while(|(time, ..)| *time < to);
        let sounds = (0..).map(|n| (n * 1024 * 1000 / 48_000, 1, n)).take_while(|(time, ..)| *time < to);
        let ticks = (0..).map(|n| (n * 50, 2, n)).take_while(|(time, ..)| *time < to);
        let mut acts: Vec<_> =
            pictures.chain(sounds).chain(ticks).filter(|(time, ..)| *time >= from).collect();
        acts.sort_unstable();
        for (time, kind, n) in acts {
            recorder.at(at.unwrap_or(time));
            let stamp = u32::try_from(time).expect("small");
            match kind {
                0 => recorder.video(stamp, avc_frame(n % self.gop == 0, 0, 900)),
                1 if self.sound && at.is_none_or(|at| at - time < 30_000) => {
                    recorder.audio(stamp, aac_frame());
                }
                1 => {}
                _ => recorder.tick(),
            }
        }
    }
}

#[test]
fn a_publisher_whose_tags_lie_far_apart_goes_on_with_the_next_worker_as_if_nothing_had_happened() {
    let cases = [
        Case { what: "a slide every 2.5 s", picture: 2_500, ..CASE },
        Case { what: "a slide every 4.5 s", ..CASE },
        Case { what: "a slide every 8 s", picture: 8_000, killed: 30_000, ..CASE },
        Case { what: "a slide every 25 s", picture: 25_000, killed: 45_000, ..CASE },
        Case { what: "a slide every 4.5 s without sound", sound: false, ..CASE },
        Case { what: "one picture", pictures: 1, ..CASE },
        Case { what: "one picture, a long time ago", pictures: 1, killed: 100_000, ..CASE },
        Case { what: "keyframes 25 s apart", picture: 40, gop: 625, killed: 95_000, ..CASE },
        Case { what: "keyframes 100 s apart", picture: 40, gop: 2_500, killed: 75_000, ..CASE },
    ];
    for case in cases {
        let what = case.what;
        let mut before = Recorder::new(config());
        OBS.begin(&mut before);
        case.send(&mut before, 0, case.killed, None);
        let state = before.state.clone().expect("a state was written");

        let mut after = Recorder::new(next_worker(&before, state, 2));
        OBS.begin(&mut after);
        let gop = case.picture * case.gop;
        let newest = ((case.killed - 1) / gop).min((case.pictures - 1) / case.gop);
        let resumed = case.killed + 700;
        after.at(resumed);
        // The router keeps two whole GOPs and the open one, but of long ones fewer.
        let kept = (0..=2).rev().find(|back| case.killed - (newest - back) * gop < 30_000 || *back == 0);
        let from = (newest - kept.unwrap_or(0)).max(0) * gop;
        case.send(&mut after, from, resumed, Some(resumed));
        let end = case.killed + 40_000;
        case.send(&mut after, resumed, end, None);
        after.finish();

        assert_eq!(discontinuities(&after), [], "{what}");
        assert!(!after.reports.contains(&MediaReport::TooFast), "{what}");
        assert_eq!(after.unplayable, [], "{what}");
        let (source, audio) = (after.of("source"), after.of("audio"));
        // A picture that an earlier worker announced is not shown for longer: what follows it is a gap up to the next one.
        let next = (0..case.pictures.min(10_000)).map(|n| n * case.picture).find(|at| *at > resumed);
        let next = next.map_or(i64::MAX, |at| (at + 24_000) * 1000);
        let gaps = source.iter().filter(|segment| segment.gap && segment.start.0 >= next).count();
        assert_eq!(gaps, 0, "{what} {source:#?}");
        for segments in [source, audio] {
            let last = segments.last().expect("there is more");
            let reach = last.start.plus(last.duration).0 / 1000;
            assert!((reach - 24_000 - end).abs() < 3_000, "{what}: {reach} for {end}");
        }
    }
}

#[test]
fn a_relay_that_is_lost_between_two_slides_is_no_jump() {
    for sound in [true, false] {
        let case = Case { picture: 8_000, sound, ..CASE };
        let mut recorder = Recorder::new(config());
        OBS.begin(&mut recorder);
        case.send(&mut recorder, 0, 29_000, None);
        recorder.packager.publisher_lost(recorder.wall());
        recorder.packager.publisher(SessionId(uuid::Uuid::nil()), Generation(1));
        recorder.at(30_000);
        case.send(&mut recorder, 24_000, 30_000, Some(30_000));
        case.send(&mut recorder, 30_000, 60_000, None);
        recorder.finish();
        assert_eq!(discontinuities(&recorder), [], "{sound}");
    }
}
