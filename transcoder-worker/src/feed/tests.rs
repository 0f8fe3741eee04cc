use std::future::poll_fn;

use caudal_livestream::feed::{self as wire, PartAnnounced};
use caudal_livestream::timeline::Part;
use caudal_livestream::{MediaDuration, Msn, PartNumber};
use http_body::Body as _;
use prometheus::Registry;

use super::*;

fn part(rendition: &str, number: u64, size: usize) -> Event {
    Event::Part(PartAnnounced {
        rendition: rendition.parse().unwrap(),
        msn: Msn(7),
        part: Part {
            number: PartNumber(number),
            duration: MediaDuration::from_millis(200),
            size: u32::try_from(size).unwrap(),
            independent: false,
        },
        opens: None,
    })
}

async fn next(body: &mut FeedBody) -> Option<Result<Bytes, FeedCut>> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap()))
}

fn broadcaster() -> FeedBroadcaster {
    FeedBroadcaster::new(Metrics::register(&Registry::new()).unwrap())
}

#[tokio::test]
async fn a_parts_bytes_follow_its_event_for_those_who_asked_and_are_not_copied() {
    let mut feeds = broadcaster();
    let (asking, mut asked) = feed(HashSet::from(["source".parse().unwrap()]));
    let (silent, mut announced) = feed(HashSet::new());
    feeds.join(asking, None, InputState::default());
    feeds.join(silent, None, InputState::default());
    let data = Bytes::from(vec![7; 100]);
    feeds.announce(&part("source", 1, 100), Some(&data));
    feeds.announce(&part("720p", 1, 50), Some(&Bytes::from(vec![8; 50])));
    feeds.close();

    let mut all = BytesMut::new();
    let mut uncopied = false;
    while let Some(frame) = next(&mut asked).await {
        let frame = frame.unwrap();
        uncopied |= frame.as_ptr() == data.as_ptr();
        all.extend_from_slice(&frame);
    }
    assert!(uncopied);
    let mut frames = Vec::new();
    while let Some(frame) = wire::decode(&mut all).unwrap() {
        frames.push(frame);
    }
    assert!(matches!(
        &frames[..],
        [
            wire::Frame::Event(Event::Input(_)),
            wire::Frame::Event(Event::Part(_)),
            wire::Frame::Bytes(_),
            wire::Frame::Event(Event::Part(_))
        ]
    ));

    let mut count = 0;
    while let Some(frame) = next(&mut announced).await {
        frame.unwrap();
        count += 1;
    }
    assert_eq!(count, 3, "input and two announcements, no bytes");
}

#[tokio::test]
async fn a_reader_two_seconds_behind_is_cut_off_and_the_others_go_on() {
    let mut feeds = broadcaster();
    let (slow, mut slow_body) = feed(HashSet::new());
    let (quick, mut quick_body) = feed(HashSet::new());
    feeds.join(slow, None, InputState::default());
    feeds.join(quick, None, InputState::default());
    let begun = Instant::now();
    next(&mut quick_body).await.unwrap().unwrap();
    for step in 1..5 {
        feeds.announce_at(&Event::Heartbeat, None, begun + step * Duration::from_millis(800));
        next(&mut quick_body).await.unwrap().unwrap();
    }
    assert!(next(&mut slow_body).await.unwrap().is_err());
    assert_eq!(feeds.readers.len(), 1);
    feeds.close();
    assert!(next(&mut quick_body).await.is_none());
}

#[tokio::test]
async fn a_reader_four_megabytes_behind_is_cut_off() {
    let mut feeds = broadcaster();
    let (reader, mut body) = feed(HashSet::from(["source".parse().unwrap()]));
    feeds.join(reader, None, InputState::default());
    for number in 0..5 {
        feeds.announce(&part("source", number, 1 << 20), Some(&Bytes::from(vec![0; 1 << 20])));
    }
    assert!(next(&mut body).await.unwrap().is_err());
    assert!(feeds.readers.is_empty());
}

#[tokio::test]
async fn a_reader_that_left_is_forgotten() {
    let mut feeds = broadcaster();
    let (reader, body) = feed(HashSet::new());
    feeds.join(reader, None, InputState::default());
    drop(body);
    feeds.announce(&Event::Heartbeat, None);
    assert!(feeds.readers.is_empty());
}

#[tokio::test]
async fn a_control_feed_carries_how_far_the_stream_is_and_an_edges_feed_does_not() {
    let mut timeline = bare_timeline();
    let mut feeds = broadcaster();
    let (early, mut early_body) = control_feed();
    let (edge, mut edge_body) = feed(HashSet::new());
    feeds.join(early, None, InputState::default());
    feeds.join(edge, None, InputState::default());
    feeds.announce(&Event::Snapshot(Box::new(timeline.clone())), None);
    for number in 0..2 {
        let Event::Part(mut announced) = part("source", number, 50) else { panic!("a part") };
        announced.opens = (number == 0).then(|| Box::new(open_segment()));
        let event = Event::Part(announced);
        timeline.apply(&event).unwrap();
        feeds.announce(&event, None);
        feeds.tell_floor(&timeline);
        feeds.tell_floor(&timeline);
    }
    let (late, mut late_body) = control_feed();
    feeds.join(late, Some(&timeline), InputState::default());
    feeds.announce(&Event::Heartbeat, None);
    feeds.announce(&Event::End, None);
    feeds.close();

    let floor = |millis: i64| Floor {
        msn: Msn(7),
        discontinuity: 0,
        media_end: caudal_livestream::MediaTime(24_000_000 + millis * 1000),
        epoch: Some(caudal_livestream::Epoch(1)),
    };
    let input = || Event::Input(InputState::default());
    assert_eq!(
        events(&mut early_body).await,
        [input(), Event::Floor(floor(200)), Event::Reached(floor(400)), Event::Heartbeat, Event::End]
    );
    assert_eq!(
        events(&mut late_body).await,
        [Event::Floor(floor(400)), input(), Event::Heartbeat, Event::End],
        "it begins with where the stream is"
    );
    let of_edge = events(&mut edge_body).await;
    assert_eq!(of_edge.len(), 6, "input, snapshot, two parts, heartbeat, end");
    assert!(!of_edge.iter().any(|event| matches!(event, Event::Floor(_) | Event::Reached(_))));
}

#[tokio::test]
async fn renditions_that_the_stream_does_not_have_are_not_kept() {
    let timeline = bare_timeline();
    let mut feeds = broadcaster();
    let invented: HashSet<RenditionName> = (0..1000)
        .map(|number| format!("{number:06}"))
        .chain(["source".to_owned()])
        .map(|name| name.parse().unwrap())
        .collect();
    let (early, _early_body) = feed(invented.clone());
    let (late, _late_body) = feed(invented);
    feeds.join(early, None, InputState::default());
    feeds.announce(&Event::Snapshot(Box::new(timeline.clone())), None);
    feeds.join(late, Some(&timeline), InputState::default());
    for reader in &feeds.readers {
        assert_eq!(reader.wants, HashSet::from(["source".parse().unwrap()]));
    }
}

/// All that a feed carries until its end.
async fn events(body: &mut FeedBody) -> Vec<Event> {
    let mut all = BytesMut::new();
    while let Some(frame) = next(body).await {
        all.extend_from_slice(&frame.unwrap());
    }
    let mut events = Vec::new();
    while let Some(wire::Frame::Event(event)) = wire::decode(&mut all).unwrap() {
        events.push(event);
    }
    events
}

fn bare_timeline() -> Timeline {
    Timeline {
        stream: caudal_livestream::StreamId::generate(),
        epoch: caudal_livestream::Epoch(1),
        target_duration: 4,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(7),
        tracks: vec![track("source"), track("audio")],
        captions: Vec::new(),
        ended: false,
    }
}

fn open_segment() -> caudal_livestream::timeline::Segment {
    caudal_livestream::timeline::Segment {
        msn: Msn(7),
        epoch: caudal_livestream::Epoch(1),
        start: caudal_livestream::MediaTime(24_000_000),
        duration: MediaDuration(0),
        discontinuity: 0,
        program_date_time: caudal_livestream::UnixMillis(0),
        init: None,
        phase: caudal_livestream::timeline::SegmentPhase::Open,
        gap: false,
        independent: true,
        lead_in: false,
        size: 0,
        parts: Vec::new(),
    }
}

fn track(name: &str) -> caudal_livestream::timeline::Track {
    caudal_livestream::timeline::Track {
        name: name.parse().unwrap(),
        media: caudal_livestream::timeline::TrackMedia::Audio { sample_rate: 48_000, channels: 2 },
        codecs: "mp4a.40.2".to_owned(),
        peak_bandwidth: 1,
        average_bandwidth: 1,
        part_target: MediaDuration::from_millis(200),
        segments: VecDeque::new(),
        withdrawn: false,
    }
}
