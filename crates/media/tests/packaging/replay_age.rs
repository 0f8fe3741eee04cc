//! A worker's timeline that begins with the router's replay does not run ahead of the wall clock from then on.

use caudal_livestream::state::InputClock;
use caudal_livestream::{Epoch, Generation, SessionId};
use caudal_media::PackagerConfig;

use crate::publisher::OBS;
use crate::recorder::{NOW, Recorder, config};
use crate::resumption::next;

/// How far the newest segment ends behind the wall clock, in milliseconds.
fn lag(recorder: &Recorder, name: &str) -> i64 {
    let last = recorder.of(name).last().expect("segments");
    let end = last.program_date_time.0 + i64::try_from(last.duration.0 / 1000).expect("short");
    recorder.wall().0 - end
}

/// The replay at once, and then what the publisher sends.
fn replay(recorder: &mut Recorder, (from, resumed, to): (i64, i64, i64)) {
    OBS.begin(recorder);
    recorder.at(resumed);
    OBS.send(recorder, from, to, 0);
}

fn is_on_time(recorder: &Recorder, case: &str) {
    for name in ["source", "audio"] {
        let lag = lag(recorder, name);
        // The segment that is open is up to two seconds long.
        assert!((-100..2_400).contains(&lag), "{case}: {name} ends {lag} ms behind the wall clock");
    }
}

#[test]
fn a_timeline_that_goes_on_long_after_the_last_state_is_not_ahead_of_the_clock_behind_the_replay() {
    struct Case {
        what: &'static str,
        state_at: i64,
        killed: i64,
        replay: i64,
        resumed: i64,
        another: bool,
    }
    let case =
        Case { what: "", state_at: 20_000, killed: 30_000, replay: 36_000, resumed: 51_000, another: false };
    for Case { what, state_at, killed, replay: from, resumed, another } in [
        Case { what: "the same publisher", ..case },
        Case { what: "another publisher, or a state that is damaged", another: true, ..case },
        Case { what: "a replay that begins before the floor", replay: 26_000, resumed: 41_000, ..case },
        Case { what: "a state that was written at the end", state_at: 30_000, ..case },
        Case {
            what: "another publisher at once",
            state_at: 30_000,
            replay: 31_000,
            resumed: 32_000,
            another: true,
            ..case
        },
    ] {
        let mut before = Recorder::new(config());
        OBS.begin(&mut before);
        OBS.send(&mut before, 0, state_at, 0);
        let state = before.state.clone().expect("written");
        let clock = before.packager.clock();
        OBS.send(&mut before, state_at, killed, 0);
        let mut next = next(&before, state, 3);
        let resume = next.resume.as_mut().expect("continued");
        resume.clock = clock.map(|clock| InputClock {
            session: if another { SessionId::generate() } else { clock.session },
            ..clock
        });
        let floor = resume.floor.expect("announced");
        let mut after = Recorder::new(next);
        replay(&mut after, (from, resumed, resumed + 10_000));
        is_on_time(&after, what);
        let lost = after.packager.lost_at_seam();
        assert_eq!(lost.is_some(), !another, "{what}: {lost:?} of the publisher's media is missing");
        let source = after.of("source");
        let first = source.iter().find(|segment| !segment.gap).expect("media");
        assert!(first.start >= floor.media_end && first.independent, "{what}: {first:?} behind {floor:?}");
        // What the replay held is in it, but for what was announced before.
        let reach = (floor.media_end.0 / 1000 - 24_000).max(from) + 2_100;
        let begins = first.program_date_time.0 - NOW;
        assert!(begins <= reach, "{what}: begins at {begins}, not at {reach}");
    }
}

#[test]
fn a_broadcast_whose_first_worker_announced_nothing_is_dated_by_what_the_replay_ends_with() {
    let mut after = Recorder::new(PackagerConfig { epoch: Epoch(2), ..config() });
    replay(&mut after, (0, 15_000, 25_000));
    is_on_time(&after, "nothing adopted");
    let first = after.of("source").first().expect("media");
    assert_eq!(first.start.0, 24_066_000, "as ever");
    let date = first.program_date_time.0 - NOW;
    assert!((0..150).contains(&date), "{date}");
}

#[test]
fn a_relay_that_was_away_for_long_brings_the_replay_to_where_it_was() {
    let mut recorder = Recorder::new(config());
    OBS.begin(&mut recorder);
    OBS.send(&mut recorder, 0, 20_000, 0);
    recorder.packager.publisher_lost(recorder.wall());
    recorder.packager.publisher(SessionId(uuid::Uuid::nil()), Generation(1));
    replay(&mut recorder, (36_000, 51_000, 61_000));
    is_on_time(&recorder, "the same worker");
}
