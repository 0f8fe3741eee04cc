//! Our client against our server, over real sockets and in-memory ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::time::Duration;

use bytes::Bytes;
use caudal_rtmp::{
    Limits, LossReason, Metadata, PublisherConnection, PublisherEvent, PublisherStream, Refusal, RelayClient,
    RelayError, RelayPublisher, RelayTarget,
};
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

fn target() -> RelayTarget {
    RelayTarget {
        app: "live".to_owned(),
        stream_name: "0197-stream?epoch=3&session=s&generation=2&auth=secret".to_owned(),
        tc_url: "rtmp://worker/live".to_owned(),
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A worker takes a replay at line speed.
fn worker_limits() -> Limits {
    Limits { max_bitrate: None, ..Limits::default() }
}

async fn over_tcp() -> (RelayPublisher<TcpStream>, PublisherStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (socket, _) = listener.accept().await.unwrap();
        let request = PublisherConnection::accept_tcp(socket, worker_limits()).await.unwrap();
        let details = request.details();
        assert_eq!(details.app, "live");
        assert_eq!(details.name.expose(), "0197-stream");
        assert_eq!(details.query.get("epoch"), Some("3"));
        assert_eq!(details.query.get("auth"), Some("secret"));
        assert!(!format!("{details:?}").contains("secret"));
        request.accept().await
    };
    let (relay, stream) = tokio::join!(RelayClient::connect_tcp(address, target(), soon()), server);
    (relay.unwrap(), stream)
}

async fn in_memory(buffer: usize) -> (RelayPublisher<DuplexStream>, PublisherStream<DuplexStream>) {
    in_memory_with(worker_limits(), buffer).await
}

async fn in_memory_with(
    limits: Limits,
    buffer: usize,
) -> (RelayPublisher<DuplexStream>, PublisherStream<DuplexStream>) {
    let (client, server) = duplex(buffer);
    let server = async { PublisherConnection::accept(server, limits).await.unwrap().accept().await };
    let (relay, stream) = tokio::join!(RelayClient::connect(client, target(), soon()), server);
    (relay.unwrap(), stream)
}

fn tag(first: u8, length: usize) -> Bytes {
    let mut tag: Vec<u8> = (0..length).map(|index| u8::try_from(index % 253).unwrap()).collect();
    tag[0] = first;
    tag.into()
}

fn video(length: usize) -> Bytes {
    tag(0x17, length)
}

fn audio(length: usize) -> Bytes {
    tag(0xAF, length)
}

/// Timestamps at every edge: around 24 bits, around 32, back in time, twice the same.
const TIMESTAMPS: [u32; 14] = [
    0,
    40,
    40,
    20,
    0x00FF_FFFE,
    0x00FF_FFFF,
    0x0100_0000,
    0x0100_0028,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFE,
    0xFFFF_FFFF,
    0,
    33,
];

#[tokio::test]
async fn every_timestamp_and_size_arrives_as_it_was_sent() {
    let (mut relay, mut stream) = over_tcp().await;
    let lengths = [1, 2, 127, 1023, 1024, 8191, 8192, 59_999, 60_000, 60_001, 200_000];
    let mut expected = Vec::new();
    for timestamp_ms in TIMESTAMPS {
        for length in lengths {
            expected.push(PublisherEvent::Video { timestamp_ms, data: video(length) });
            expected.push(PublisherEvent::Audio { timestamp_ms, data: audio(length.min(700)) });
        }
    }
    let send = async {
        for event in &expected {
            match event.clone() {
                PublisherEvent::Video { timestamp_ms, data } => relay.send_video(timestamp_ms, data).unwrap(),
                PublisherEvent::Audio { timestamp_ms, data } => relay.send_audio(timestamp_ms, data).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        relay.flush().await.unwrap();
        relay.unpublish().await;
    };
    let receive = async {
        for event in &expected {
            assert_eq!(stream.next_event().await.as_ref(), Some(event));
        }
        let end = PublisherEvent::Lost { explicit: true, reason: LossReason::Unpublished };
        assert_eq!(stream.next_event().await, Some(end));
        assert_eq!(stream.next_event().await, None);
        stream.close().await;
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn a_publisher_that_is_handed_over_is_neither_gone_nor_lost_by_accident() {
    let (mut relay, mut stream) = over_tcp().await;
    let send = async {
        relay.send_audio(40, audio(100)).unwrap();
        relay.hand_over().await;
    };
    let receive = async {
        let last = PublisherEvent::Audio { timestamp_ms: 40, data: audio(100) };
        assert_eq!(stream.next_event().await, Some(last), "what was queued before comes before");
        let end = PublisherEvent::Lost { explicit: false, reason: LossReason::HandedOver };
        assert_eq!(stream.next_event().await, Some(end));
        stream.close().await;
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn it_arrives_the_same_through_a_pipe_of_a_few_bytes() {
    for buffer in [3, 1000] {
        let (mut relay, mut stream) = in_memory(buffer).await;
        let send = async {
            for timestamp in TIMESTAMPS {
                relay.send_video(timestamp, video(61_000)).unwrap();
            }
            relay.flush().await.unwrap();
            relay.unpublish().await;
        };
        let receive = async {
            for timestamp_ms in TIMESTAMPS {
                let event = PublisherEvent::Video { timestamp_ms, data: video(61_000) };
                assert!(stream.next_event().await == Some(event), "{timestamp_ms}, buffer {buffer}");
            }
            let end = stream.next_event().await;
            assert!(matches!(end, Some(PublisherEvent::Lost { explicit: true, .. })), "{end:?}");
            stream.close().await;
        };
        tokio::join!(send, receive);
    }
}

#[tokio::test]
async fn futures_dropped_at_any_point_lose_nothing() {
    use futures::FutureExt as _;
    let (mut relay, mut stream) = in_memory(700).await;
    let mut received = 0;
    for timestamp in 0..100 {
        relay.send_video(timestamp, video(5000)).unwrap();
    }
    // Each poll may be the last one of its future.
    while received < 100 {
        let _ = relay.flush().now_or_never();
        let _ = relay.lost().now_or_never();
        // Tokio lets no task do I/O for ever without a pause.
        tokio::task::yield_now().await;
        if let Some(event) = stream.next_event().now_or_never() {
            let expected = PublisherEvent::Video { timestamp_ms: received, data: video(5000) };
            assert!(event == Some(expected), "{received}");
            received += 1;
        }
    }
}

#[tokio::test]
async fn metadata_is_passed_on_byte_by_byte() {
    let raw = b"\x02\0\x0aonMetaData\x08\0\0\0\x02\0\x05width\0\x40\x94\0\0\0\0\0\0\0\x04date\x0b\
        \x42\x76\0\0\0\0\0\0\0\0\0\0\x09";
    let metadata = Metadata::read(&Bytes::from_static(raw)).unwrap();
    assert_eq!(metadata.width, Some(1280));
    let (mut relay, mut stream) = over_tcp().await;
    relay.send_metadata(0, &metadata).unwrap();
    relay.flush().await.unwrap();
    let received = stream.next_event().await.unwrap();
    assert_eq!(received, PublisherEvent::Metadata(Box::new(metadata.clone())));
    assert_eq!(metadata.raw, Bytes::from_static(raw));
}

#[tokio::test]
async fn a_refusal_arrives_with_its_code_and_its_reason() {
    for refusal in [Refusal::BadName, Refusal::Denied, Refusal::Rejected] {
        let (client, server) = duplex(4096);
        let server = async {
            let request = PublisherConnection::accept(server, worker_limits()).await.unwrap();
            request.reject(refusal, "a newer generation is here").await;
        };
        let (relay, ()) = tokio::join!(RelayClient::connect(client, target(), soon()), server);
        let expected = RelayError::Refused {
            refusal: Some(refusal),
            code: refusal.code().to_owned(),
            description: "a newer generation is here".to_owned(),
        };
        assert_eq!(relay.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn a_refusal_is_read_by_a_client_that_had_more_to_say() {
    // Over TCP, closing with unread input would reset the connection and lose the refusal.
    let (mut relay, stream) = over_tcp().await;
    let server = tokio::spawn(stream.drop_publisher(Refusal::Rejected, "ended by the streamer"));
    let error = loop {
        match relay.send_video(0, video(200_000)) {
            Ok(()) => {}
            Err(error) => break error,
        }
        if let Err(error) = relay.flush().await {
            break error;
        }
    };
    assert!(
        matches!(&error, RelayError::Refused { refusal: Some(Refusal::Rejected), description, .. }
            if description == "ended by the streamer"),
        "{error:?}"
    );
    drop(relay);
    server.await.unwrap();
}

#[tokio::test]
async fn a_worker_that_dies_is_known_at_once() {
    let (mut relay, stream) = over_tcp().await;
    drop(stream);
    assert!(matches!(relay.lost().await, RelayError::Closed | RelayError::Io(_)));
}

#[tokio::test]
async fn a_relay_that_is_dropped_is_a_loss_without_a_word() {
    let (relay, mut stream) = over_tcp().await;
    drop(relay);
    let end = stream.next_event().await;
    assert_eq!(end, Some(PublisherEvent::Lost { explicit: false, reason: LossReason::Closed }));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let (client, _server) = duplex(4096);
    let started = Instant::now();
    let deadline = started + Duration::from_secs(3);
    let relay = RelayClient::connect(client, target(), deadline).await;
    assert_eq!(relay.unwrap_err(), RelayError::Timeout);
    assert_eq!(started.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn pings_keep_a_quiet_relay_known_to_be_alive() {
    // Without media a publisher is dropped long before.
    let limits = Limits { media: Duration::from_hours(1), ..worker_limits() };
    let (mut relay, mut stream) = in_memory_with(limits, 4096).await;
    relay.send_audio(0, audio(10)).unwrap();
    let server = async {
        assert!(matches!(stream.next_event().await, Some(PublisherEvent::Audio { .. })));
        // The client answers each ping, which is a byte enough.
        assert!(tokio::time::timeout(Duration::from_mins(10), stream.next_event()).await.is_err());
    };
    tokio::select! {
        () = server => {}
        error = relay.lost() => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_pinging_is_lost() {
    let (mut relay, _stream) = in_memory(4096).await;
    let started = Instant::now();
    assert_eq!(relay.lost().await, RelayError::Silent);
    assert!(started.elapsed() >= Duration::from_mins(1));
}

#[tokio::test]
async fn a_consumer_that_does_not_read_holds_the_relay_back_and_loses_nothing() {
    let (mut relay, mut stream) = over_tcp().await;
    // More than the sockets' buffers hold.
    let count: u32 = 200;
    for timestamp in 0..count {
        relay.send_video(timestamp, video(100_000)).unwrap();
    }
    assert!(tokio::time::timeout(Duration::from_millis(100), relay.flush()).await.is_err());
    assert!(relay.queued_bytes() > 0);
    let receive = async {
        for expected in 0..count {
            let event = stream.next_event().await;
            let Some(PublisherEvent::Video { timestamp_ms, data }) = event else { panic!("{event:?}") };
            assert_eq!(timestamp_ms, expected);
            assert_eq!(data, video(100_000));
        }
    };
    let (flushed, ()) = tokio::join!(relay.flush(), receive);
    flushed.unwrap();
}

#[tokio::test]
async fn a_queue_that_nobody_empties_is_full_at_its_bound() {
    let (mut relay, _stream) = over_tcp().await;
    let keyframe = video(1_000_000);
    let queued = (0..1000).take_while(|time| relay.send_video(*time, keyframe.clone()).is_ok()).count();
    assert_eq!(queued, caudal_rtmp::MAX_RELAY_QUEUE.div_ceil(1_000_000 + 100));
    assert_eq!(relay.send_audio(0, audio(10)), Err(RelayError::QueueFull));
}

#[tokio::test]
async fn what_the_server_would_refuse_is_not_sent() {
    let (mut relay, mut stream) = over_tcp().await;
    let send = async {
        relay.send_video(0, Bytes::new()).unwrap();
        relay.send_video(0, video(caudal_rtmp::MAX_MESSAGE + 1)).unwrap();
        relay.send_video(7, video(caudal_rtmp::MAX_MESSAGE)).unwrap();
        relay.flush().await.unwrap();
    };
    let receive = async {
        let event = stream.next_event().await;
        assert!(matches!(event, Some(PublisherEvent::Video { timestamp_ms: 7, .. })));
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn a_server_says_which_tag_it_awaits_and_media_goes_on() {
    let (mut relay, mut stream) = over_tcp().await;
    assert_eq!(relay.awaited(), None);
    for awaited in [u32::MAX, 150] {
        stream.awaits(awaited);
        relay.send_video(40, video(1000)).unwrap();
        let (sent, event) = tokio::join!(relay.flush(), stream.next_event());
        sent.unwrap();
        assert!(matches!(event, Some(PublisherEvent::Video { timestamp_ms: 40, .. })));
        // It is sent with the next event that is waited for.
        let waiting = tokio::time::timeout(Duration::from_millis(50), stream.next_event());
        let lost = tokio::time::timeout(Duration::from_millis(50), relay.lost());
        let (waiting, lost) = tokio::join!(waiting, lost);
        waiting.unwrap_err();
        lost.unwrap_err();
        assert_eq!((relay.awaited(), relay.take_words()), (Some(awaited), 1));
    }
    relay.forget_awaited();
    assert_eq!(relay.awaited(), None);
}
