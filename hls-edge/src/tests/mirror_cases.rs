//! Feeds that overlap, fall behind and follow one another.

use caudal_livestream::feed::Event;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Epoch, MediaDuration, StreamId};
use proptest::prelude::*;

use super::broadcast::Broadcast;
use crate::mirror::{Change, Mirror};

fn snapshot(broadcast: &Broadcast) -> Event {
    Event::Snapshot(Box::new(broadcast.timeline.clone()))
}

fn stream() -> StreamId {
    "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()
}

/// The last segment and its parts, of each rendition.
fn edges(timeline: &Timeline) -> Vec<(u64, usize)> {
    timeline
        .tracks
        .iter()
        .filter_map(caudal_livestream::timeline::Track::edge)
        .map(|(msn, parts)| (msn.0, parts))
        .collect()
}

#[test]
fn a_mirror_follows_its_feed() {
    let mut broadcast = Broadcast::new(stream(), 1, &["source", "audio"]).with(1, 1);
    let mut mirror = Mirror::default();
    assert_eq!(mirror.apply(&Event::Heartbeat), Ok(Change::None));
    assert_eq!(mirror.apply(&snapshot(&broadcast)), Ok(Change::Whole));
    for event in broadcast.part() {
        assert!(matches!(mirror.apply(&event), Ok(Change::Rendition(_))));
    }
    assert_eq!(mirror.timeline(), Some(&broadcast.timeline));
}

#[test]
fn an_older_snapshot_of_a_second_feed_takes_over_only_when_it_has_caught_up() {
    let mut broadcast = Broadcast::new(stream(), 1, &["source", "audio"]).with(1, 1);
    let mut mirror = Mirror::default();
    let early = snapshot(&broadcast);
    mirror.apply(&early).unwrap();
    let events = broadcast.part();
    for event in &events {
        mirror.apply(event).unwrap();
    }
    assert_eq!(mirror.apply(&early), Ok(Change::None));
    assert_eq!(mirror.timeline(), Some(&broadcast.timeline));
    assert_eq!(mirror.apply(&events[0]), Ok(Change::None), "one rendition is still behind");
    assert_eq!(mirror.apply(&events[1]), Ok(Change::Whole));
    assert_eq!(mirror.timeline(), Some(&broadcast.timeline));
}

#[test]
fn a_new_worker_s_source_is_not_kept_waiting_for_its_encoder() {
    let names = ["source", "720p", "audio"];
    let old = Broadcast::new(stream(), 1, &names).with(3, 2);
    let mut new = old.succeeded_by(2);
    let rung = new.timeline.tracks.iter_mut().find(|track| track.name.as_str() == "720p").unwrap();
    let missing: Vec<_> = rung.segments.drain(1..).collect();
    let mut mirror = Mirror::default();
    mirror.apply(&snapshot(&old)).unwrap();
    assert_eq!(mirror.apply(&snapshot(&new)), Ok(Change::Whole));
    let seen = |mirror: &Mirror, name: &str| {
        let timeline = mirror.timeline().unwrap();
        timeline.track(&name.parse().unwrap()).unwrap().clone()
    };
    let of = |timeline: &Timeline, name: &str| timeline.track(&name.parse().unwrap()).unwrap().clone();
    assert_eq!(seen(&mirror, "source"), of(&new.timeline, "source"));
    assert_eq!(seen(&mirror, "720p"), of(&old.timeline, "720p"), "viewers keep what they have");
    for segment in missing {
        let event = Event::Segment(caudal_livestream::feed::SegmentAnnounced {
            rendition: "720p".parse().unwrap(),
            window_start: segment.msn,
            segment,
            peak_bandwidth: 1,
            average_bandwidth: 1,
        });
        new.timeline.apply(&event).unwrap();
        mirror.apply(&event).unwrap();
    }
    assert_eq!(seen(&mirror, "720p").segments.back(), of(&new.timeline, "720p").segments.back());
}

#[test]
fn a_lower_epoch_is_never_taken_up() {
    let old = Broadcast::new(stream(), 1, &["source"]).with(2, 0);
    let new = old.succeeded_by(2);
    let mut mirror = Mirror::default();
    mirror.apply(&snapshot(&new)).unwrap();
    assert_eq!(mirror.apply(&snapshot(&old.with(5, 0))), Ok(Change::None));
    assert_eq!(mirror.timeline().map(|timeline| timeline.epoch), Some(Epoch(2)));
}

#[test]
fn a_new_worker_with_a_longer_window_does_not_bring_back_what_left() {
    let old = Broadcast::new(stream(), 1, &["source"]).with(30, 0);
    let mut new = old.succeeded_by(2);
    let earlier = Broadcast::new(stream(), 1, &["source"]).with(20, 0);
    let segments = &mut new.timeline.tracks[0].segments;
    while let Some(segment) =
        earlier.timeline.tracks[0].segments.iter().rev().find(|s| s.msn.next() == segments[0].msn)
    {
        segments.push_front(segment.clone());
    }
    let first = old.timeline.tracks[0].segments[0].msn;
    assert!(new.timeline.tracks[0].segments[0].msn < first);
    let mut mirror = Mirror::default();
    mirror.apply(&snapshot(&old)).unwrap();
    assert_eq!(mirror.apply(&snapshot(&new)), Ok(Change::Whole));
    assert_eq!(mirror.timeline().unwrap().tracks[0].segments[0].msn, first);
}

#[test]
fn what_was_listed_and_is_lost_keeps_its_length_and_its_name() {
    // Segments of 1 s, the last one open: of it and the three before, the new worker knows where they end.
    let old = Broadcast::new(stream(), 1, &["source"]).with(5, 3);
    let mut new = old.succeeded_by(2);
    let segments = &mut new.timeline.tracks[0].segments;
    let (start, date) = (segments[2].start, segments[2].program_date_time.0);
    let even = MediaDuration::from_millis(900);
    for (n, segment) in segments.iter_mut().skip(2).enumerate() {
        segment.become_gap();
        segment.epoch = Epoch(2);
        segment.start = (0..n).fold(start, |start, _| start.plus(even));
        segment.duration = even;
        segment.program_date_time.0 = date.saturating_add((segment.start.0 - start.0) / 1000);
    }
    let mut mirror = Mirror::default();
    mirror.apply(&snapshot(&old)).unwrap();
    // Also where the same worker's feed is opened again.
    for _ in 0..2 {
        let new = new.succeeded_by(2).with(0, 1);
        assert_eq!(mirror.apply(&snapshot(&new)), Ok(Change::Whole));
        let (was, is) = (&old.timeline.tracks[0].segments, &mirror.timeline().unwrap().tracks[0].segments);
        for (was, is) in was.iter().zip(is).take(5) {
            assert_eq!((was.msn, was.epoch, was.start), (is.msn, is.epoch, is.start));
            assert_eq!((was.duration, was.program_date_time), (is.duration, is.program_date_time));
        }
        let gaps: Vec<_> = is.iter().map(|segment| segment.gap).collect();
        assert_eq!(gaps, [false, false, true, true, true, true, false]);
        // 12 was listed in parts alone, of 600 ms.
        assert_eq!((is[5].start, is[5].duration), (was[5].start, MediaDuration::from_millis(600)));
        assert_eq!(is[5].program_date_time, was[5].program_date_time);
    }
}

#[test]
fn the_end_is_taken_up_even_from_a_worker_that_knows_less() {
    let seen = Broadcast::new(stream(), 1, &["source"]).with(2, 3);
    let mut last = Broadcast::new(stream(), 2, &["source"]).with(2, 0);
    last.timeline.ended = true;
    let mut mirror = Mirror::default();
    mirror.apply(&snapshot(&seen)).unwrap();
    assert_eq!(mirror.apply(&snapshot(&last)), Ok(Change::Whole));
    assert_eq!(mirror.apply(&snapshot(&seen)), Ok(Change::None));
    assert!(mirror.timeline().unwrap().ended);
}

#[test]
fn a_later_epoch_takes_back_an_end_that_an_earlier_one_told() {
    let mut first = Broadcast::new(stream(), 1, &["source"]).with(2, 3);
    let next = first.succeeded_by(2);
    let mut mirror = Mirror::default();
    first.timeline.ended = true;
    mirror.apply(&snapshot(&first)).unwrap();
    first.timeline.ended = false;
    assert_eq!(mirror.apply(&snapshot(&first)), Ok(Change::None), "its own feed cannot");
    assert_eq!(mirror.apply(&snapshot(&next)), Ok(Change::Whole));
    assert!(!mirror.timeline().unwrap().ended);
}

proptest! {
    /// Whatever feeds come, break and begin anew, what viewers see never goes back.
    #[test]
    fn viewers_never_go_back(steps in prop::collection::vec(0_u8..6, 1..80)) {
        let mut broadcast = Broadcast::new(stream(), 1, &["source", "audio"]).with(0, 1);
        let mut mirror = Mirror::default();
        let mut early = snapshot(&broadcast);
        // Announced but not read yet by the feed that is open.
        let mut unread: Vec<Event> = vec![early.clone()];
        let mut seen: Vec<(u64, usize)> = Vec::new();
        let mut first = 0;
        for step in steps {
            match step {
                0 | 1 => unread.extend(broadcast.part()),
                2 if broadcast.timeline.tracks[0].segments.back().unwrap().phase
                    == caudal_livestream::timeline::SegmentPhase::Open => unread.extend(broadcast.close()),
                3 => early = snapshot(&broadcast),
                // A second connection whose snapshot was taken a while ago, and all that came since.
                4 => unread = vec![early.clone(), snapshot(&broadcast)],
                _ => {
                    for event in unread.drain(..) {
                        if mirror.apply(&event).is_err() {
                            mirror.feed_lost();
                            break;
                        }
                        let Some(timeline) = mirror.timeline() else { continue };
                        let now = edges(timeline);
                        prop_assert!(seen.iter().zip(&now).all(|(before, now)| before <= now), "{seen:?} {now:?}");
                        let front = timeline.tracks[0].segments[0].msn.0;
                        prop_assert!(front >= first);
                        first = front;
                        seen = now;
                    }
                }
            }
        }
    }
}
