//! A worker is lost, and another one goes on: what was announced is made again (ARCHITECTURE §3.8).

use caudal_livestream::assignment::Floor;
use caudal_livestream::state::InputClock;
use caudal_livestream::timeline::{SegmentPhase, Timeline};
use caudal_livestream::{
    Epoch, Generation, MediaDuration, MediaTime, Msn, RenditionName, SessionId, UnixMillis,
};
use caudal_media::{Beyond, PackagerConfig, Resume};

use crate::publisher::{OBS, Publisher};
use crate::recorder::{NOW, OTHER_AVC_RECORD, Recorder, aac_header, avc_header, config, rendition, rung};
use crate::rules::discontinuities;

/// What the controller saw last.
pub(crate) fn floor(timeline: &Timeline) -> Option<Floor> {
    let lasts = timeline.tracks.iter().filter_map(|track| track.segments.back());
    lasts
        .map(|last| Floor {
            msn: last.msn,
            discontinuity: last.discontinuity,
            media_end: last.start.plus(last.duration),
            epoch: None,
        })
        .max_by_key(|floor| (floor.msn, floor.media_end))
}

fn stored(recorder: &mut Recorder, below: u64) {
    let names: Vec<RenditionName> = recorder.segments.keys().cloned().collect();
    for name in names {
        for msn in 7..below {
            recorder.packager.stored(&name, Msn(msn));
        }
    }
    recorder.drain();
}

pub(crate) fn next(before: &Recorder, state: Timeline, epoch: u32) -> PackagerConfig {
    let floor = before.timeline.as_ref().and_then(floor);
    PackagerConfig {
        epoch: Epoch(epoch),
        resume: Some(Resume {
            timeline: state,
            clock: before.packager.clock(),
            floor,
            beyond: Beyond::SameEpoch,
        }),
        ..config()
    }
}

struct Loss {
    publisher: Publisher,
    /// Milliseconds of media before it.
    killed: i64,
    /// Segments below it are in storage.
    stored: u64,
    /// Whole segments that the last state does not know of yet.
    state_lags: bool,
    /// What the router has kept begins there.
    replay: i64,
}

const LOSS: Loss = Loss { publisher: OBS, killed: 7_300, stored: 9, state_lags: false, replay: 2_000 };
/// Its keyframes are 2 s apart at 60 frames a second, and its pictures need no reordering.
const GAMER: Publisher = Publisher { fps: 60, gop: 120, composition: 0, video: true, audio: true };

/// The worker that is killed, the one that goes on, and one that was never disturbed.
fn lose(loss: &Loss) -> (Recorder, Recorder, Recorder) {
    let publisher = &loss.publisher;
    let mut whole = Recorder::new(config());
    publisher.begin(&mut whole);
    publisher.send(&mut whole, 0, 12_500, 0);
    whole.finish();

    let mut before = Recorder::new(config());
    publisher.begin(&mut before);
    let seconds = loss.killed / 2_000 * 2_000 - 100;
    publisher.send(&mut before, 0, seconds, 0);
    stored(&mut before, loss.stored);
    let early = before.state.clone();
    publisher.send(&mut before, seconds, loss.killed, 0);
    let late = before.state.clone().or_else(|| before.timeline.clone());
    let state = if loss.state_lags { early } else { late }.expect("a state is written at once");

    let mut after = Recorder::new(next(&before, state, 2));
    publisher.begin(&mut after);
    after.at(loss.killed + 700);
    publisher.send(&mut after, loss.replay, 12_500, 0);
    after.finish();
    (before, after, whole)
}

#[test]
fn what_was_announced_is_made_again_whole_under_its_old_name() {
    let losses = [
        ("in the middle of a segment", LOSS),
        ("at a segment's first part", Loss { killed: 6_200, ..LOSS }),
        ("at its last part", Loss { killed: 7_990, ..LOSS }),
        ("behind a whole segment", Loss { killed: 6_010, ..LOSS }),
        ("with all whole ones stored", Loss { stored: 10, ..LOSS }),
        ("with a state that lags a segment", Loss { killed: 6_500, state_lags: true, ..LOSS }),
        ("with nothing stored", Loss { stored: 7, replay: 0, ..LOSS }),
        ("in its first segment", Loss { killed: 1_300, stored: 7, replay: 0, ..LOSS }),
        ("at 60 frames a second", Loss { publisher: GAMER, ..LOSS }),
        (
            "at 60 frames with a state that lags",
            Loss { publisher: GAMER, killed: 6_500, state_lags: true, ..LOSS },
        ),
        ("without sound", Loss { publisher: Publisher { audio: false, ..OBS }, ..LOSS }),
    ];
    for (when, loss) in losses {
        let (before, after, whole) = lose(&loss);
        after.check_alignment(45_000);
        assert_eq!(discontinuities(&after), [], "{when}");
        let announced = floor(before.timeline.as_ref().expect("frozen")).expect("announced").msn;
        let timeline = after.timeline.as_ref().expect("taken up");
        for name in ["source", "audio"].map(rendition) {
            let track = timeline.track(&name).expect("announced");
            let mut msn = Msn(7);
            for segment in &track.segments {
                assert_eq!(segment.msn, msn, "{when}: {name} has no number twice, and none is missing");
                msn = msn.next();
                assert!(!segment.gap, "{when}: {name} {segment:?}");
                let epoch = if segment.msn <= announced { 1 } else { 2 };
                assert_eq!(segment.epoch, Epoch(epoch), "{when}: {name} {}", segment.msn);
                if segment.msn > announced || segment.phase == SegmentPhase::Stored {
                    continue;
                }
                assert!(segment.parts.is_empty(), "{when}: made without parts");
                let key = (name.clone(), segment.msn);
                let (made, seen) =
                    (&after.wholes[&key], before.wholes.get(&key).map_or(&[][..], Vec::as_slice));
                assert!(
                    made.starts_with(seen),
                    "{when}: {name} {} begins with what viewers have ({} {})",
                    segment.msn,
                    made.len(),
                    seen.len()
                );
                if segment.msn < announced {
                    assert!(*made == whole.wholes[&key], "{when}: {name} {} has the same bytes", segment.msn);
                    let was =
                        whole.of(name.as_str()).iter().find(|was| was.msn == segment.msn).expect("whole");
                    assert_eq!(
                        (was.start, was.duration, was.program_date_time, &was.init, was.independent),
                        (
                            segment.start,
                            segment.duration,
                            segment.program_date_time,
                            &segment.init,
                            segment.independent
                        ),
                    );
                }
            }
            assert!(msn > announced.next(), "{when}: {name} goes on");
        }
    }
}

#[test]
fn no_frame_is_lost_and_none_comes_twice() {
    for killed in [6_100, 6_433, 6_800, 7_100, 7_300, 7_777, 7_990] {
        let (before, after, whole) = lose(&Loss { killed, stored: 10, ..LOSS });
        let frames = |recorder: &Recorder, from: u64| -> usize {
            let of = |((name, msn), data): (&(RenditionName, Msn), &Vec<u8>)| {
                let count =
                    data.windows(2000).step_by(1).filter(|w| w.iter().all(|byte| *byte == 0x41)).count();
                if name.as_str() == "source" && msn.0 >= from { count } else { 0 }
            };
            recorder.wholes.iter().map(of).sum()
        };
        assert_eq!(frames(&after, 10), frames(&whole, 10), "killed at {killed}");
        drop(before);
    }
}

/// A worker that closes at a keyframe, with everything stored, and one that gets the publisher from there on.
fn handed_over(publisher: &Publisher, sound_from: i64) -> Recorder {
    let mut before = Recorder::new(config());
    publisher.begin(&mut before);
    publisher.send(&mut before, 0, 8_000, 0);
    before.finish();
    stored(&mut before, 100);
    let state = Timeline { ended: false, ..before.timeline.clone().expect("announced") };
    let mut after = Recorder::new(next(&before, state, 2));
    publisher.begin(&mut after);
    after.at(8_200);
    publisher.send(&mut after, sound_from, 12_500, 0);
    after.finish();
    after
}

#[test]
fn a_worker_that_is_handed_the_publisher_at_a_keyframe_goes_on_exactly_there() {
    for (who, publisher) in [
        ("OBS", OBS),
        ("sixty frames", GAMER),
        ("without sound", Publisher { audio: false, ..OBS }),
        ("sound alone", Publisher { video: false, ..OBS }),
    ] {
        // From the keyframe itself, and with a replay that reaches further back.
        for from in [8_000, 4_000] {
            let after = handed_over(&publisher, from);
            assert_eq!(after.packager.lost_at_seam(), Some(MediaDuration(0)), "{who} from {from}");
            after.check_alignment(45_000);
            assert_eq!(discontinuities(&after), [], "{who} from {from}");
            for track in &after.timeline.as_ref().expect("taken up").tracks {
                for two in track.segments.iter().collect::<Vec<_>>().windows(2) {
                    let (one, other) = (two[0], two[1]);
                    assert_eq!(other.msn, one.msn.next(), "{who} from {from}: {}", track.name);
                    assert!(!one.gap && !other.gap, "{who} from {from}: {} {one:?} {other:?}", track.name);
                    let hole = other.start.0 - one.start.plus(one.duration).0;
                    assert!(hole.abs() <= 1_000, "{who} from {from}: {} {one:?} {other:?}", track.name);
                }
                let ours = track.segments.iter().filter(|segment| segment.epoch == Epoch(2)).count();
                assert!(
                    ours >= 2,
                    "{who} from {from}: {} has {ours} segments of the next worker",
                    track.name
                );
            }
        }
    }
}

#[test]
fn what_the_replay_does_not_reach_is_a_gap() {
    for (replay, gaps) in [(6_000, vec![Msn(9)]), (6_100, vec![Msn(9), Msn(10)])] {
        let (before, after, _) = lose(&Loss { replay, ..LOSS });
        assert_eq!(discontinuities(&after), []);
        // A segment of two seconds each; what would have followed in the last one did not come either.
        let lost = after.packager.lost_at_seam().map(|lost| lost.0);
        assert_eq!(lost, Some(2_000_000 * u64::try_from(gaps.len()).expect("few")), "from {replay}");
        for name in ["source", "audio"].map(rendition) {
            let (made, seen) = (after.wholes.get(&(name.clone(), Msn(10))), &before.wholes[&(name, Msn(10))]);
            let is_lost = gaps.contains(&Msn(10));
            assert!(is_lost || made.is_some_and(|made| made.starts_with(seen)), "from {replay}: other bytes");
        }
        let timeline = after.timeline.as_ref().expect("taken up");
        for track in &timeline.tracks {
            let lost: Vec<Msn> = track.segments.iter().filter(|s| s.gap).map(|s| s.msn).collect();
            assert_eq!(lost, gaps, "{} from {replay}", track.name);
        }
    }
}

#[test]
fn only_renditions_that_lack_a_segment_get_it_again() {
    let mut before = Recorder::new(config());
    OBS.begin(&mut before);
    OBS.send(&mut before, 0, 7_300, 0);
    stored(&mut before, 9);
    before.packager.stored(&rendition("source"), Msn(9));
    before.drain();
    let state = before.state.clone().expect("written");
    let mut after = Recorder::new(next(&before, state, 2));
    OBS.begin(&mut after);
    after.at(8_000);
    OBS.send(&mut after, 4_000, 12_500, 0);
    let made = |name: &str| -> Vec<u64> { after.of(name).iter().map(|segment| segment.msn.0).collect() };
    assert_eq!(made("source")[..2], [10, 11]);
    assert_eq!(made("audio")[..3], [9, 10, 11]);
    assert!(after.wholes[&(rendition("audio"), Msn(9))] == before.wholes[&(rendition("audio"), Msn(9))]);
}

#[test]
fn a_stream_of_sound_alone_is_made_again_too() {
    let publisher = Publisher { video: false, ..OBS };
    let (before, after, whole) = lose(&Loss { publisher, replay: 3_000, ..LOSS });
    let announced = floor(before.timeline.as_ref().expect("frozen")).expect("announced").msn;
    let timeline = after.timeline.as_ref().expect("taken up");
    for segment in &timeline.tracks[0].segments {
        assert!(!segment.gap, "{segment:?}");
        let key = (rendition("audio"), segment.msn);
        if segment.phase != SegmentPhase::Stored && segment.msn < announced {
            assert!(after.wholes[&key] == whole.wholes[&key], "{segment:?}");
        }
    }
}

#[test]
fn a_rung_that_left_long_ago_costs_its_stream_nothing_and_can_come_back() {
    let (ladder, name) = (vec![rung("240p", 240)], rendition("240p"));
    for back in [false, true] {
        let mut before = Recorder::new(PackagerConfig { ladder: ladder.clone(), ..config() });
        OBS.begin(&mut before);
        OBS.send(&mut before, 0, 7_000, 0);
        before.encode(&name);
        before.packager.withdraw(&name);
        OBS.send(&mut before, 7_000, 60_300, 0);
        if back {
            // It has segments again when its worker is lost, but not yet enough to be shown.
            before.packager.rung_returns(&name);
            before.packager.rung_video(&name, 0, avc_header(OTHER_AVC_RECORD));
            before.encodes.clear();
            before.segments.remove(&name);
            OBS.send(&mut before, 60_300, 63_300, 0);
            before.encode(&name);
        }
        let killed = if back { 63_300 } else { 60_300 };
        stored(&mut before, 35);
        let state = before.state.clone().expect("written");
        let left = state.track(&name).expect("a rung");
        let has_new = left.segments.iter().any(|segment| segment.msn > Msn(20));
        assert_eq!((left.withdrawn, has_new), (true, back), "{left:?}");
        let mut after = Recorder::new(PackagerConfig { ladder: ladder.clone(), ..next(&before, state, 2) });
        after.audio(0, aac_header());
        OBS.begin(&mut after);
        after.at(killed + 700);
        OBS.send(&mut after, 56_000, 66_000, 0);
        let timeline = after.timeline.clone().expect("taken up");
        for track in timeline.tracks.iter().filter(|track| track.name != name) {
            assert!(track.segments.iter().all(|segment| !segment.gap), "{track:?}");
        }
        assert!(timeline.track(&name).is_some_and(|track| track.withdrawn && track.segments.is_empty()));
        after.packager.rung_returns(&name);
        after.packager.rung_video(&name, 0, avc_header(OTHER_AVC_RECORD));
        after.encodes.clear();
        OBS.send(&mut after, 66_000, 76_000, 0);
        after.encode(&name);
        let timeline = after.timeline.as_ref().expect("taken up");
        let track = timeline.track(&name).expect("a rung");
        assert!(!track.withdrawn && track.segments.iter().all(|segment| !segment.gap), "{track:?}");
    }
}

#[test]
fn a_rung_is_made_again_from_what_its_encoder_makes_of_the_replay() {
    let ladder = vec![rung("240p", 240)];
    let mut before = Recorder::new(PackagerConfig { ladder: ladder.clone(), ..config() });
    OBS.begin(&mut before);
    OBS.send(&mut before, 0, 7_000, 0);
    before.encode(&rendition("240p"));
    OBS.send(&mut before, 7_000, 7_300, 0);
    stored(&mut before, 9);
    let state = before.state.clone().expect("written");
    let mut after = Recorder::new(PackagerConfig { ladder, ..next(&before, state, 2) });
    after.audio(0, aac_header());
    OBS.begin(&mut after);
    after.at(8_000);
    OBS.send(&mut after, 2_000, 9_000, 0);
    assert_eq!(after.of("source").iter().map(|s| s.msn.0).collect::<Vec<_>>()[..2], [9, 10]);
    after.encode(&rendition("240p"));
    OBS.send(&mut after, 9_000, 12_500, 0);
    after.encode(&rendition("240p"));
    after.finish();
    after.check_alignment(45_000);
    let timeline = after.timeline.as_ref().expect("taken up");
    let track = timeline.track(&rendition("240p")).expect("a rung");
    let names: Vec<_> = track.segments.iter().map(|s| (s.msn.0, s.epoch.0, s.gap)).collect();
    assert_eq!(names[..5], [(7, 1, false), (8, 1, false), (9, 1, false), (10, 1, false), (11, 2, false)]);
    assert_eq!(after.wholes[&(rendition("240p"), Msn(9))], before.wholes[&(rendition("240p"), Msn(9))]);
    let ends = |name| timeline.track(&rendition(name)).expect("announced").segments[3].clone();
    let (source, made) = (ends("source"), ends("240p"));
    assert_eq!(source.start, made.start);
    assert!((source.start.plus(source.duration).0 - MediaTime(31_266_000).0).abs() < 1_000);
    assert_eq!(source.duration, made.duration);
}

#[test]
fn without_a_timeline_numbers_and_dates_go_on_behind_the_floor() {
    let floor = Floor { msn: Msn(500), discontinuity: 3, media_end: MediaTime(1_010_000_000), epoch: None };
    let resume = Resume {
        timeline: without_tracks(),
        clock: Some(InputClock {
            session: SessionId(uuid::Uuid::max()),
            generation: Generation(0),
            offset: MediaTime(0),
            wraps: 0,
            last_rtmp: 1 << 31,
            date_anchor: UnixMillis(NOW - floor.media_end.0 / 1000),
        }),
        floor: Some(floor),
        beyond: Beyond::SameEpoch,
    };
    let mut after = Recorder::new(PackagerConfig { epoch: Epoch(3), resume: Some(resume), ..config() });
    OBS.begin(&mut after);
    OBS.send(&mut after, 0, 9_000, 0);
    after.finish();
    let timeline = after.timeline.as_ref().expect("announced");
    assert_eq!((timeline.first_msn, timeline.target_duration), (Msn(501), 4));
    for name in ["source", "audio"].map(rendition) {
        let first = timeline.track(&name).and_then(|track| track.segments.front()).expect("announced");
        assert_eq!((first.msn, first.discontinuity, first.gap), (Msn(501), 4, false), "{name}");
        assert!(first.start >= floor.media_end, "{name} begins at {:?}", first.start);
        assert!(first.program_date_time.0 >= NOW, "{name}");
    }
}

#[test]
fn a_floor_that_is_far_ahead_of_the_last_state_is_taken_up_at_once() {
    let floor = Floor { msn: Msn(1 << 40), discontinuity: 0, media_end: MediaTime(1 << 50), epoch: None };
    let mut before = Recorder::new(config());
    OBS.begin(&mut before);
    OBS.send(&mut before, 0, 9_000, 0);
    let state = before.timeline.clone().expect("announced");
    let clock = before.packager.clock();
    let resume = Resume { timeline: state, clock, floor: Some(floor), beyond: Beyond::SameEpoch };
    let mut after = Recorder::new(PackagerConfig { epoch: Epoch(2), resume: Some(resume), ..config() });
    after.packager.finish(UnixMillis(NOW));
    after.drain();
    for track in &after.timeline.as_ref().expect("taken up").tracks {
        let numbers: Vec<_> = track.segments.iter().map(|segment| segment.msn.0).collect();
        assert_eq!(numbers.last(), Some(&floor.msn.0), "{}", track.name);
        assert!(
            numbers.len() <= 256 && numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{}",
            track.name
        );
    }
}

fn without_tracks() -> Timeline {
    Timeline {
        stream: config().stream,
        epoch: Epoch(2),
        target_duration: 4,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(501),
        tracks: Vec::new(),
        captions: Vec::new(),
        ended: false,
    }
}
