//! Workers are lost one after another, and some could store nothing: what viewers have seen under a name is never something
//! else under that name (ARCHITECTURE §3.8).

use std::collections::BTreeMap;

use caudal_livestream::state::InputClock;
use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline};
use caudal_livestream::{Epoch, Generation, Msn, RenditionName, SessionId};
use caudal_media::{Beyond, PackagerConfig, Resume};

use crate::publisher::{OBS, Publisher};
use crate::recorder::{Recorder, config, rendition};
use crate::resumption::floor;

/// What a worker has made whole, by its name.
fn made(worker: &Recorder) -> BTreeMap<(RenditionName, Msn, Epoch), (&Segment, &[u8])> {
    let named = |name: &RenditionName, segment: &Segment| (name.clone(), segment.msn, segment.epoch);
    let all = worker.segments.iter().flat_map(|(name, all)| all.iter().map(move |segment| (name, segment)));
    all.filter(|(_, segment)| !segment.gap)
        .map(|(name, segment)| {
            (named(name, segment), (segment, worker.wholes[&(name.clone(), segment.msn)].as_slice()))
        })
        .collect()
}

/// Nothing that one of the workers announced whole is something else, or has another name, at a later one.
fn nothing_is_changed(workers: &[&Recorder], case: &str) {
    for (index, earlier) in workers.iter().enumerate() {
        for later in &workers[index + 1..] {
            let again = made(later);
            for ((name, msn, epoch), (segment, bytes)) in made(earlier) {
                let case = format!("{case}: {name} {msn} of epoch {epoch}");
                if let Some((made, other)) = again.get(&(name.clone(), msn, epoch)) {
                    assert_eq!((made.start, made.duration), (segment.start, segment.duration), "{case}");
                    assert!(*other == bytes, "{case} has other bytes: {} and {}", other.len(), bytes.len());
                }
                let track = later.timeline.as_ref().expect("taken up").track(&name).expect("announced");
                if let Some(listed) = track.segments.iter().find(|segment| segment.msn == msn) {
                    assert!(listed.gap || listed.epoch == epoch, "{case} is now {listed:?}");
                }
            }
        }
    }
}

/// What a worker may have stored last before it was lost.
struct Stored {
    timeline: Timeline,
    clock: Option<InputClock>,
}

/// Sends media in steps, and returns how the worker stood behind each.
fn send(worker: &mut Recorder, publisher: &Publisher, (from, to): (i64, i64)) -> Vec<Stored> {
    let mut states = Vec::new();
    for at in (from..to).step_by(100) {
        publisher.send(worker, at, (at + 100).min(to), 0);
        if let Some(timeline) = worker.timeline.clone().filter(|_| !worker.packager.is_rebuilding()) {
            states.push(Stored { timeline, clock: worker.packager.clock() });
        }
    }
    states
}

/// A worker that begins behind what `before` has announced, as far as `state` tells.
fn next(before: &Recorder, state: &Stored, epoch: u32, beyond: Beyond) -> Recorder {
    let floor = before.timeline.as_ref().and_then(floor);
    let (timeline, clock) = (state.timeline.clone(), state.clock);
    let resume = Some(Resume { timeline, clock, floor, beyond });
    Recorder::new(PackagerConfig { epoch: Epoch(epoch), resume, ..config() })
}

fn begin(mut worker: Recorder, publisher: &Publisher, media: (i64, i64)) -> (Recorder, Vec<Stored>) {
    publisher.begin(&mut worker);
    worker.at(media.1 - 4_000);
    let states = send(&mut worker, publisher, media);
    (worker, states)
}

/// The first worker of the stream; segments below a number are in storage.
fn first(publisher: &Publisher, to: i64, stored: u64) -> (Recorder, Vec<Stored>) {
    let mut worker = Recorder::new(config());
    publisher.begin(&mut worker);
    send(&mut worker, publisher, (0, 5_000));
    for name in ["source", "audio"].map(rendition) {
        for msn in 7..stored {
            worker.packager.stored(&name, Msn(msn));
        }
    }
    worker.drain();
    let states = send(&mut worker, publisher, (5_000, to));
    (worker, states)
}

fn own_segments(worker: &Recorder, epoch: u32, name: &str) -> usize {
    worker.of(name).iter().filter(|segment| segment.epoch == Epoch(epoch) && !segment.gap).count()
}

const KILLED: [i64; 4] = [7_300, 8_100, 9_000, 9_900];

#[test]
fn whatever_a_lost_worker_stored_last_its_successor_changes_nothing() {
    for killed in KILLED {
        let (one, states) = first(&OBS, killed, 9);
        for (index, state) in states.iter().enumerate() {
            let (two, _) = begin(next(&one, state, 2, Beyond::SameEpoch), &OBS, (2_000, killed + 6_000));
            nothing_is_changed(&[&one, &two], &format!("killed at {killed}, with state {index}"));
            assert!(own_segments(&two, 2, "source") >= 2 && own_segments(&two, 2, "audio") >= 2);
        }
    }
}

#[test]
fn what_two_workers_could_not_store_is_the_same_at_the_third_or_a_gap() {
    for killed in KILLED {
        let (one, mut states) = first(&OBS, killed, 9);
        let (two, stored) = begin(
            next(&one, &states.pop().expect("written"), 2, Beyond::SameEpoch),
            &OBS,
            (2_000, killed + 2_500),
        );
        for (index, state) in stored.iter().enumerate() {
            let (three, _) = begin(next(&two, state, 3, Beyond::SameEpoch), &OBS, (4_000, killed + 8_500));
            nothing_is_changed(&[&one, &two, &three], &format!("killed at {killed}, with state {index}"));
            assert!(own_segments(&three, 3, "source") >= 2 && own_segments(&three, 3, "audio") >= 2);
        }
    }
}

#[test]
fn what_a_worker_announced_whose_state_was_never_filled_keeps_its_names() {
    for killed in KILLED {
        let (one, states) = first(&OBS, killed, 9);
        let state = states.last().expect("written");
        let (two, _) = begin(next(&one, state, 2, Beyond::SameEpoch), &OBS, (2_000, killed + 2_500));
        let (three, _) = begin(next(&two, state, 3, Beyond::Unknown), &OBS, (4_000, killed + 8_500));
        nothing_is_changed(&[&one, &two, &three], &format!("killed at {killed}"));
        for (track, listed) in
            state.timeline.tracks.iter().zip(&three.timeline.as_ref().expect("taken up").tracks)
        {
            let whole = |segment: &&Segment| segment.msn >= Msn(9) && segment.phase != SegmentPhase::Open;
            for Segment { msn, .. } in track.segments.iter().filter(whole) {
                let again = listed.segments.iter().find(|segment| segment.msn == *msn);
                assert!(
                    again.is_some_and(|again| !again.gap),
                    "killed at {killed}: {} {msn} is known",
                    track.name
                );
            }
        }
        assert!(own_segments(&three, 3, "source") >= 2 && own_segments(&three, 3, "audio") >= 2);
    }
}

/// The successor of a worker that was lost at 9.9 s, with the replay up to there.
fn in_mid_replay(at: i64) -> (Recorder, Recorder) {
    let (one, states) = first(&OBS, 9_900, 9);
    let (two, _) =
        begin(next(&one, states.last().expect("written"), 2, Beyond::SameEpoch), &OBS, (2_000, at));
    (one, two)
}

#[test]
fn a_replay_that_stalls_or_comes_in_two_connections_makes_the_same_segments() {
    let (_, mut undisturbed) = in_mid_replay(9_900);
    OBS.send(&mut undisturbed, 9_900, 16_000, 0);
    for at in (2_100..9_900).step_by(277) {
        for is_lost in [false, true] {
            let (one, mut two) = in_mid_replay(at);
            two.at(at + 20_000);
            two.tick();
            if is_lost {
                two.packager.publisher_lost(two.wall());
                two.drain();
                two.at(at + 22_000);
                two.tick();
                two.packager.publisher(SessionId(uuid::Uuid::nil()), Generation(1));
            }
            OBS.send(&mut two, if is_lost { 2_000 } else { at }, 16_000, 0);
            let case = format!("at {at}, lost: {is_lost}");
            nothing_is_changed(&[&one, &two], &case);
            for (named, (_, bytes)) in made(&undisturbed) {
                if named.2 == Epoch(1) {
                    let again = made(&two).get(&named).map(|(_, again)| again.to_vec());
                    assert!(again.as_deref() == Some(bytes), "{case}: {named:?} has other bytes");
                }
            }
            assert!(own_segments(&two, 2, "source") >= 2 && own_segments(&two, 2, "audio") >= 2, "{case}");
        }
    }
}

#[test]
fn what_a_replay_that_ends_early_has_not_brought_is_a_gap() {
    let (_, mut undisturbed) = in_mid_replay(9_900);
    OBS.send(&mut undisturbed, 9_900, 16_000, 0);
    for at in (2_100..9_900).step_by(277) {
        for goes_on in [false, true] {
            let (one, mut two) = in_mid_replay(at);
            let case = format!("at {at}, another publisher goes on: {goes_on}");
            if goes_on {
                two.packager.publisher_lost(two.wall());
                two.packager.publisher(SessionId(uuid::Uuid::max()), Generation(1));
                OBS.begin(&mut two);
                OBS.send(&mut two, 0, 6_000, 0);
            }
            two.finish();
            nothing_is_changed(&[&one, &two], &case);
            for (named, (_, bytes)) in made(&two).into_iter().filter(|(named, _)| named.2 == Epoch(1)) {
                let whole = made(&undisturbed).get(&named).map(|(_, whole)| whole.to_vec());
                assert!(whole.as_deref() == Some(bytes), "{case}: {named:?} has other bytes");
            }
            let floor = one.timeline.as_ref().and_then(floor).expect("announced");
            for track in &two.timeline.as_ref().expect("taken up").tracks {
                let last = track.segments.back().expect("announced");
                assert!(last.msn >= floor.msn, "{case}: {} ends with {last:?}", track.name);
                for segment in track.segments.iter().filter(|segment| segment.discontinuity > 0) {
                    assert_eq!(segment.epoch, Epoch(2), "{case}: {segment:?}");
                    assert!(segment.start >= floor.media_end, "{case}: {segment:?}");
                }
            }
        }
    }
}
