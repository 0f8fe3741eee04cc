//! What edges report, and what it adds up to.

use caudal_livestream::audience::ViewerCount;

use super::*;

fn report(edge: EdgeId, sequence: u64, counts: &[(StreamId, u32)]) -> AudienceReport {
    let counts = counts.iter().map(|(stream, viewers)| ViewerCount { stream: *stream, viewers: *viewers });
    AudienceReport { edge, sequence, last: false, counts: counts.collect() }
}

fn last(edge: EdgeId, sequence: u64) -> AudienceReport {
    AudienceReport { last: true, ..report(edge, sequence, &[]) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn viewers_are_added_up_over_the_edges() {
    let (one, other) = (EdgeId::generate(), EdgeId::generate());
    let (stream, quiet) = (StreamId::generate(), StreamId::generate());
    let now = Instant::now();
    let mut edges = Edges::default();
    edges.take(report(one, 1, &[(stream, 3)]), now).unwrap();
    edges.take(report(other, 1, &[(stream, 4), (quiet, 1)]), now).unwrap();
    assert_eq!((edges.viewers(stream, now), edges.viewers(quiet, now)), (7, 1));
    // A message says nothing of the streams that are not in it.
    edges.take(report(other, 2, &[(stream, u32::MAX), (quiet, 0)]), now).unwrap();
    edges.take(report(other, 3, &[]), now).unwrap();
    assert_eq!((edges.viewers(stream, now), edges.viewers(quiet, now)), (u32::MAX, 0));
}

#[test]
fn what_an_edge_does_not_repeat_for_15_seconds_counts_no_more() {
    let edge = EdgeId::generate();
    let (kept, lost) = (StreamId::generate(), StreamId::generate());
    let begin = Instant::now();
    let mut edges = Edges::default();
    edges.take(report(edge, 1, &[(kept, 3), (lost, 3)]), begin).unwrap();
    edges.take(report(edge, 2, &[(kept, 3)]), begin + seconds(10)).unwrap();
    for (after, expected) in [(14, (3, 3)), (15, (3, 0)), (24, (3, 0)), (25, (0, 0))] {
        let now = begin + seconds(after);
        assert_eq!((edges.viewers(kept, now), edges.viewers(lost, now)), expected, "after {after} s");
    }
}

#[test]
fn nothing_overtakes_the_last_report_of_an_edge() {
    let (edge, stream) = (EdgeId::generate(), StreamId::generate());
    let begin = Instant::now();
    let mut edges = Edges::default();
    edges.take(report(edge, 1, &[(stream, 3)]), begin).unwrap();
    edges.take(last(edge, 4), begin).unwrap();
    assert_eq!(edges.viewers(stream, begin), 0);
    for (late, after) in [(2, 0), (3, 1), (5, 1), (2, 120)] {
        let now = begin + seconds(after);
        edges.sweep(now);
        edges.take(report(edge, late, &[(stream, 3)]), now).unwrap();
        assert_eq!(edges.viewers(stream, now), 0, "report {late} after {after} s");
    }
    // No signature is good any more by then.
    edges.sweep(begin + REMEMBERED);
    assert!(edges.known.is_empty());
}

#[test]
fn a_report_that_was_overtaken_or_comes_twice_changes_nothing() {
    let (edge, stream) = (EdgeId::generate(), StreamId::generate());
    let now = Instant::now();
    let mut edges = Edges::default();
    edges.take(report(edge, 2, &[(stream, 5)]), now).unwrap();
    edges.take(report(edge, 1, &[(stream, 9)]), now).unwrap();
    edges.take(report(edge, 2, &[(stream, 9)]), now).unwrap();
    assert_eq!(edges.viewers(stream, now), 5);
}

#[test]
fn edges_and_streams_have_limits_that_do_not_harm_those_that_are_there() {
    let now = Instant::now();
    let (first, stream) = (EdgeId::generate(), StreamId::generate());
    let mut edges = Edges::default();
    edges.take(report(first, 1, &[(stream, 1)]), now).unwrap();
    for _ in 1..MAX_EDGES {
        edges.take(report(EdgeId::generate(), 1, &[]), now).unwrap();
    }
    assert_eq!(edges.take(report(EdgeId::generate(), 1, &[]), now), Err(Full::Edges));
    let many: Vec<_> = (1..MAX_STREAMS).map(|_| (StreamId::generate(), 1)).collect();
    edges.take(report(first, 2, &many), now).unwrap();
    let over = report(first, 3, &[(StreamId::generate(), 1), (stream, 2)]);
    assert_eq!(edges.take(over, now), Err(Full::Streams));
    assert_eq!(edges.viewers(stream, now), 2);
    // Those that are gone make room.
    assert_eq!(edges.take(report(EdgeId::generate(), 1, &[]), now + REMEMBERED), Ok(()));
}
