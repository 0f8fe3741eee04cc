//! A worker is lost while a rung lags: what that rung had yet to be given is rebuilt, or a gap as long as the source's segment.

use caudal_livestream::timeline::{SegmentPhase, Track};
use caudal_livestream::{Epoch, Msn};
use caudal_media::{Beyond, PackagerConfig, Resume};

use crate::publisher::OBS;
use crate::recorder::{Recorder, aac_header, config, rendition, rung};
use crate::resumption::floor;

const RUNG: &str = "240p";

#[derive(Clone, Copy, Debug)]
struct Loss {
    killed: i64,
    /// The rung's encoder had come so far.
    encoded: i64,
    /// Segments below it are in storage, as far as they were made.
    stored: u64,
    replay: i64,
}

impl Loss {
    /// The worker that goes on, up to where the lost one was, and nothing of the rung yet.
    fn lose(self) -> (Recorder, Recorder) {
        let with_rung = || PackagerConfig { ladder: vec![rung(RUNG, 240)], ..config() };
        let mut before = Recorder::new(with_rung());
        OBS.begin(&mut before);
        OBS.send(&mut before, 0, self.encoded, 0);
        before.encode(&rendition(RUNG));
        OBS.send(&mut before, self.encoded, self.killed, 0);
        for name in ["source", RUNG, "audio"].map(rendition) {
            for msn in 7..self.stored {
                before.packager.stored(&name, Msn(msn));
            }
        }
        before.drain();
        let timeline = before.timeline.clone().expect("announced");
        let floor = floor(&timeline);
        let resume = Resume { timeline, clock: before.packager.clock(), floor, beyond: Beyond::SameEpoch };
        let mut after =
            Recorder::new(PackagerConfig { epoch: Epoch(2), resume: Some(resume), ..with_rung() });
        after.audio(0, aac_header());
        OBS.begin(&mut after);
        after.at(self.killed + 700);
        OBS.send(&mut after, self.replay, self.killed, 0);
        (before, after)
    }
}

fn track<'a>(recorder: &'a Recorder, name: &str) -> &'a Track {
    recorder.timeline.as_ref().and_then(|timeline| timeline.track(&rendition(name))).expect("announced")
}

fn gaps(recorder: &Recorder, name: &str) -> Vec<Msn> {
    track(recorder, name).segments.iter().filter(|segment| segment.gap).map(|segment| segment.msn).collect()
}

/// All segments follow each other, and lie where the source's do.
fn follows_the_source(recorder: &Recorder, name: &str, case: &str) {
    let source = &track(recorder, "source").segments;
    let segments = &track(recorder, name).segments;
    for (one, other) in segments.iter().zip(segments.iter().skip(1)) {
        let case = format!("{case}: {name} {one:?} {other:?}");
        assert_eq!(other.msn, one.msn.next(), "{case}");
        let hole = other.start.0 - one.start.plus(one.duration).0;
        assert!(hole.abs() < 30_000, "a hole of {hole} µs: {case}");
    }
    for segment in segments.iter().filter(|segment| segment.phase != SegmentPhase::Open) {
        let like = source.iter().find(|like| like.msn == segment.msn).expect("the source has it too");
        let apart = (like.start.0 - segment.start.0).abs();
        let longer = like.duration.0.abs_diff(segment.duration.0);
        assert!(apart < 50_000 && longer < 50_000, "{case}: {name} {segment:?} beside {like:?}");
    }
}

#[test]
fn a_rung_that_lags_when_its_worker_is_lost_has_gaps_where_the_source_has_segments_and_costs_it_none() {
    for killed in [7_300, 8_000, 9_900] {
        for (stored, replay) in [(7, 0), (7, 2_000), (7, 6_000), (9, 2_000), (9, 6_000), (10, 6_000)] {
            let keeps_up = Loss { killed, encoded: killed, stored, replay };
            let (_, mut undisturbed) = keeps_up.lose();
            OBS.send(&mut undisturbed, killed, killed + 10_000, 0);
            let wanted = gaps(&undisturbed, "source");
            for encoded in [0, 1_000, 5_900, 7_000] {
                for lag in [0, 9_000] {
                    let loss = Loss { encoded, ..keeps_up };
                    let case = format!("{loss:?}, behind by {lag}");
                    let (_, mut after) = loss.lose();
                    OBS.send(&mut after, killed, killed + lag, 0);
                    after.encode(&rendition(RUNG));
                    OBS.send(&mut after, killed + lag, killed + 10_000, 0);
                    after.encode(&rendition(RUNG));
                    for name in ["source", RUNG, "audio"] {
                        follows_the_source(&after, name, &case);
                    }
                    assert_eq!(gaps(&after, "source"), wanted, "{case}");
                    let last = track(&after, RUNG).segments.back().expect("it goes on");
                    assert_eq!((last.epoch, last.gap), (Epoch(2), false), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_rung_that_is_given_up_in_the_middle_of_a_rebuilt_segment_has_a_gap_there_and_no_shorter_file() {
    let (before, mut after) = Loss { killed: 9_900, encoded: 9_900, stored: 9, replay: 2_000 }.lose();
    // The encoder makes a second and a half of the first segment that is rebuilt, and then nothing for half a minute.
    let is_made = |(at, _, _, header): &(i64, _, _, bool)| *header || *at < 24_000 + 5_500;
    let made = after.encodes.iter().take_while(|frame| is_made(frame)).count();
    after.encodes.truncate(made);
    after.encode(&rendition(RUNG));
    OBS.send(&mut after, 9_900, 42_000, 0);
    let given_up = after.of(RUNG).first().expect("given up");
    assert_eq!((given_up.msn, given_up.gap), (Msn(9), true), "{given_up:?}");
    let was = track(&before, RUNG).segments.iter().find(|segment| segment.msn == Msn(9)).expect("announced");
    assert_eq!((given_up.start, given_up.duration), (was.start, was.duration));
}
