use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, put};
use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::{Event, Frame, PartAnnounced, SegmentAnnounced};
use caudal_livestream::proof::RoleKey;
use caudal_livestream::timeline::{Part, Segment, SegmentPhase, Timeline, Track, TrackMedia};
use caudal_livestream::{
    Epoch, Generation, MediaDuration, MediaTime, Msn, PartNumber, StreamId, UnixMillis, WorkerId,
};
use ed25519_dalek::SigningKey;
use futures::StreamExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::{ControlEvent, FeedLost};

/// A worker that answers with `router` until it is dropped.
struct Served {
    address: WorkerAddress,
    _task: JoinSet<()>,
}

async fn serve(router: Router) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let rtmp = SocketAddr::from(([127, 0, 0, 1], 1));
    Served { address: WorkerAddress { worker: WorkerId::generate(), rtmp, http }, _task: task }
}

fn proof() -> Proof {
    RoleKey::new([7; 32]).proof(StreamId::generate(), Epoch(1))
}

fn assignment() -> SignedAssignment {
    let assignment = Assignment {
        worker: WorkerId::generate(),
        stream: StreamId::generate(),
        epoch: Epoch(1),
        generation: Generation(1),
        mode: AssignmentMode::Live,
        floor: None,
        ladder: Vec::new(),
        latency_mode: caudal_livestream::admission::LatencyMode::Low,
        record: false,
        hints: None,
        input_key_digest: proof().digest(),
        feed_key_digest: proof().digest(),
        other_input_key_digests: Vec::new(),
        other_feed_key_digests: Vec::new(),
        credentials: None,
        expires: UnixMillis(1),
    };
    SignedAssignment::sign(&assignment, &SigningKey::from_bytes(&[1; 32])).unwrap()
}

fn name(text: &str) -> RenditionName {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_assignment_is_taken_conflicting_or_refused_as_the_worker_says() {
    for (status, expected) in
        [(200, "taken"), (204, "taken"), (409, "conflict"), (403, "refused"), (503, "unable")]
    {
        let answer = (StatusCode::from_u16(status).unwrap(), "the disk is full\n");
        let worker = serve(Router::new().route("/assignment", put(move || async move { answer }))).await;
        let outcome = match WorkerClient::new().unwrap().assign(&worker.address, &assignment()).await {
            Ok(()) => "taken",
            Err(AssignError::Conflict(words)) if words == "the disk is full" => "conflict",
            Err(AssignError::Refused { words, .. }) if words == "the disk is full" => "refused",
            Err(AssignError::Unable(words)) if words == "the disk is full" => "unable",
            Err(error) => panic!("{error}"),
        };
        assert_eq!(outcome, expected, "{status}");
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    drop(listener);
    let address = WorkerAddress { worker: WorkerId::generate(), rtmp: http, http };
    let error = WorkerClient::new().unwrap().input(&address, &proof()).await.unwrap_err();
    assert!(matches!(error, WorkerUnreachable::Silent { .. }), "{error}");
}

#[tokio::test]
async fn an_address_that_takes_no_connection_is_told_from_a_worker_that_is_silent() {
    // Linux leaves whoever comes to a full queue without an answer, as a machine that is gone does.
    let listener = TcpSocket::new_v4().unwrap();
    listener.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = listener.listen(0).unwrap();
    let http = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(one)) = timeout(Duration::from_millis(200), TcpStream::connect(http)).await {
        queued.push(one);
    }
    let address = WorkerAddress { worker: WorkerId::generate(), rtmp: http, http };
    let error = WorkerClient::new().unwrap().assign(&address, &assignment()).await.unwrap_err();
    let unconnected = AssignError::Unreachable(WorkerUnreachable::Unconnected { request: ASSIGN });
    assert_eq!(error.to_string(), unconnected.to_string());
}

#[tokio::test]
async fn the_input_is_asked_with_the_proof() {
    let input = async |headers: HeaderMap| {
        if headers.get("authorization").is_some_and(|v| v.to_str().unwrap().starts_with("Bearer ")) {
            axum::Json(InputState { generation: Generation(3), up: true, ..InputState::default() })
                .into_response()
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    };
    let worker = serve(Router::new().route("/input", get(input))).await;
    let state = WorkerClient::new().unwrap().input(&worker.address, &proof()).await.unwrap();
    assert_eq!((state.generation, state.up), (Generation(3), true));
}

#[tokio::test]
async fn media_is_fetched_whole_or_is_not_there() {
    let media = async |Path((rendition, file)): Path<(String, String)>| {
        if file == "p1-7.m4s" { Ok(format!("{rendition} {file}")) } else { Err(StatusCode::NOT_FOUND) }
    };
    let worker = serve(Router::new().route("/media/{rendition}/{file}", get(media))).await;
    let client = WorkerClient::new().unwrap();
    let fetch = async |file: &str, size| {
        client
            .fetch(&worker.address, &proof(), &name("720p"), file, size)
            .await
            .map_err(|error| error.to_string())
    };
    let there = Ok(Some(Bytes::from_static(b"720p p1-7.m4s")));
    for size in [FileSize::Exactly(13), FileSize::AtMost(13), FileSize::AtMost(usize::MAX)] {
        assert_eq!(fetch("p1-7.m4s", size).await, there, "{size:?}");
    }
    assert_eq!(fetch("p1-8.m4s", FileSize::Exactly(13)).await, Ok(None));
    assert_eq!(fetch("../../x", FileSize::Exactly(13)).await, Ok(None));
    for (size, why) in [
        (FileSize::Exactly(12), "GET /media: an answer of more than 12 bytes"),
        (FileSize::AtMost(12), "GET /media: an answer of more than 12 bytes"),
        (FileSize::Exactly(14), "GET /media: an answer of 13 bytes instead of 14"),
    ] {
        assert_eq!(fetch("p1-7.m4s", size).await, Err(why.to_owned()), "{size:?}");
    }
}

#[tokio::test]
async fn a_feed_is_read_frame_by_frame_however_it_is_cut_and_ends_with_end() {
    let stored = Event::Stored { rendition: name("source"), msn: Msn(7) };
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&Event::Heartbeat.encode());
    bytes.extend_from_slice(&stored.encode());
    bytes.extend_from_slice(&caudal_livestream::feed::bytes_frame_head(4).unwrap());
    bytes.extend_from_slice(b"part");
    bytes.extend_from_slice(&Event::End.encode());
    let feed = move |RawQuery(query): RawQuery| {
        assert_eq!(query.as_deref(), Some("renditions=source,audio"));
        let pieces: Vec<_> =
            bytes.chunks(3).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>).collect();
        async { Body::from_stream(futures::stream::iter(pieces)) }
    };
    let worker = serve(Router::new().route("/feed", get(feed))).await;
    let these = FeedRenditions::These(vec![name("source"), name("audio")]);
    let mut feed = WorkerClient::new().unwrap().feed(&worker.address, &proof(), these).await.unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = feed.next().await.unwrap() {
        frames.push(frame);
    }
    let expected = [
        Frame::Event(Event::Heartbeat),
        Frame::Event(stored),
        Frame::Bytes(Bytes::from_static(b"part")),
        Frame::Event(Event::End),
    ];
    assert_eq!(frames, expected);
}

/// The body of a feed that says `events` and ends.
fn said(events: &[Event]) -> Vec<u8> {
    events.iter().flat_map(Event::encode).collect()
}

async fn control_events(worker: &Served) -> Vec<ControlEvent> {
    let mut feed = WorkerClient::new().unwrap().control_feed(&worker.address, &proof()).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = feed.next().await.unwrap() {
        events.push(event);
    }
    events
}

fn floor(msn: u64, millis: i64) -> Floor {
    Floor {
        msn: Msn(msn),
        discontinuity: 0,
        media_end: MediaTime(24_000_000 + millis * 1000),
        epoch: Some(Epoch(1)),
    }
}

#[tokio::test]
async fn a_control_feed_is_asked_for_and_read() {
    let input = InputState { up: true, ..InputState::default() };
    let body = said(&[
        Event::Floor(floor(7, 200)),
        Event::Input(input.clone()),
        Event::Reached(floor(7, 400)),
        Event::Heartbeat,
        Event::End,
    ]);
    let feed = move |RawQuery(query): RawQuery| {
        assert_eq!(query.as_deref(), Some("events=control"));
        let body = body.clone();
        async { body }
    };
    let worker = serve(Router::new().route("/feed", get(feed))).await;
    let expected = [
        ControlEvent::Floor(floor(7, 200)),
        ControlEvent::Input(input),
        ControlEvent::Reached(floor(7, 400)),
        ControlEvent::Heartbeat,
        ControlEvent::End,
    ];
    assert_eq!(control_events(&worker).await, expected);
}

#[tokio::test]
async fn a_worker_that_knows_no_control_feed_is_followed_within_bounds_too() {
    let endless = (0..2_000).map(|n| {
        Event::Segment(SegmentAnnounced {
            rendition: name("source"),
            segment: Segment { msn: Msn(7 + n), phase: SegmentPhase::Finished, ..segment() },
            window_start: Msn(0),
            peak_bandwidth: 1,
            average_bandwidth: 1,
        })
    });
    let endless: Vec<_> = [Event::Snapshot(Box::new(timeline()))].into_iter().chain(endless).collect();
    let twice = Timeline { tracks: [timeline().tracks, timeline().tracks].concat(), ..timeline() };
    for (events, why) in [
        (endless, "the live window is out of bounds"),
        (vec![Event::Snapshot(Box::new(twice))], "there are two renditions source"),
    ] {
        let body = said(&events);
        let worker = serve(Router::new().route("/feed", get(move || async { body }))).await;
        let client = WorkerClient::new().unwrap();
        let mut feed = client.control_feed(&worker.address, &proof()).await.unwrap();
        let lost = loop {
            match feed.next().await {
                Ok(said) => assert!(said.is_some(), "{why}"),
                Err(lost) => break lost,
            }
        };
        assert!(matches!(lost, FeedLost::Unfitting(_)), "{lost}");
        assert_eq!(lost.to_string(), why);
    }
}

#[tokio::test]
async fn of_a_worker_that_knows_no_control_feed_the_floor_is_that_of_its_announcements() {
    let part = |index: u64, opens| {
        let part = Part {
            number: PartNumber(index),
            duration: MediaDuration::from_millis(200),
            size: 1,
            independent: true,
        };
        Event::Part(PartAnnounced { rendition: name("source"), msn: Msn(7), part, opens })
    };
    let body = said(&[
        Event::Input(InputState::default()),
        Event::Snapshot(Box::new(timeline())),
        part(0, Some(Box::new(segment()))),
        part(1, None),
        Event::End,
    ]);
    let worker = serve(Router::new().route("/feed", get(move || async { body }))).await;
    let expected = [
        ControlEvent::Input(InputState::default()),
        ControlEvent::Floor(floor(7, 200)),
        ControlEvent::Reached(floor(7, 400)),
        ControlEvent::End,
    ];
    assert_eq!(control_events(&worker).await, expected);
}

/// The controller reads the feeds of all workers, and asks none of them for media.
#[tokio::test]
async fn a_control_feed_brings_no_media() {
    let head = |length: u32, kind: u8| [&length.to_be_bytes()[..], &[kind]].concat();
    // Bytes; a snapshot; what no release knows yet.
    for (length, kind) in [(64 * 1024 + 1, 9), (2 * 1024 * 1024 + 1, 1), (2 * 1024 * 1024 + 1, 200)] {
        // A reader that would wait for all of it hears the feed end instead.
        let body = head(length, kind);
        let worker = serve(Router::new().route("/feed", get(move || async { body }))).await;
        let mut feed = WorkerClient::new().unwrap().control_feed(&worker.address, &proof()).await.unwrap();
        let lost = feed.next().await;
        assert!(matches!(lost, Err(FeedLost::Malformed(_))), "{kind}: {lost:?}");
    }
}

fn timeline() -> Timeline {
    Timeline {
        stream: StreamId::generate(),
        epoch: Epoch(1),
        target_duration: 4,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(7),
        tracks: vec![Track {
            name: name("source"),
            media: TrackMedia::Audio { sample_rate: 48_000, channels: 2 },
            codecs: "mp4a.40.2".to_owned(),
            peak_bandwidth: 1,
            average_bandwidth: 1,
            part_target: MediaDuration::from_millis(200),
            segments: [].into(),
            withdrawn: false,
        }],
        captions: Vec::new(),
        ended: false,
    }
}

fn segment() -> Segment {
    Segment {
        msn: Msn(7),
        epoch: Epoch(1),
        start: MediaTime(24_000_000),
        duration: MediaDuration(0),
        discontinuity: 0,
        program_date_time: UnixMillis(0),
        init: None,
        phase: SegmentPhase::Open,
        gap: false,
        independent: true,
        lead_in: false,
        size: 0,
        parts: Vec::new(),
    }
}

#[tokio::test]
async fn what_a_newer_worker_says_beside_what_is_known_is_skipped() {
    // Of a type that there is not, one with a body and one without.
    let mut body = b"\x00\x00\x00\x0b\xc8{\"new\": 1}".to_vec();
    body.extend_from_slice(&Event::Heartbeat.encode());
    body.extend_from_slice(b"\x00\x00\x00\x01\xc9");
    body.extend_from_slice(&Event::End.encode());
    let bytes = body.clone();
    let worker = serve(Router::new().route("/feed", get(move || async { bytes }))).await;
    let none = FeedRenditions::None;
    let mut feed = WorkerClient::new().unwrap().feed(&worker.address, &proof(), none).await.unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = feed.next().await.unwrap() {
        frames.push(frame);
    }
    assert_eq!(frames, [Frame::Event(Event::Heartbeat), Frame::Event(Event::End)]);
    assert_eq!(control_events(&worker).await, [ControlEvent::Heartbeat, ControlEvent::End]);
}

#[tokio::test]
async fn a_feed_that_closes_without_end_is_lost() {
    let worker = serve(Router::new().route("/feed", get(async || Event::Heartbeat.encode()))).await;
    let mut feed =
        WorkerClient::new().unwrap().feed(&worker.address, &proof(), FeedRenditions::None).await.unwrap();
    assert_eq!(feed.next().await.unwrap(), Some(Frame::Event(Event::Heartbeat)));
    assert!(matches!(feed.next().await, Err(FeedLost::Closed)));
}

#[tokio::test]
async fn a_feed_that_keeps_its_connection_and_says_nothing_is_lost() {
    let silent = async || {
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Event::Heartbeat.encode())]);
        Body::from_stream(first.chain(futures::stream::pending()))
    };
    let worker = serve(Router::new().route("/feed", get(silent))).await;
    let response = reqwest::get(url(&worker.address, "/feed")).await.unwrap();
    let mut feed = Feed::with_silence(response, Duration::from_millis(50));
    assert_eq!(feed.next().await.unwrap(), Some(Frame::Event(Event::Heartbeat)));
    assert!(matches!(feed.next().await, Err(FeedLost::Silent)));
}
