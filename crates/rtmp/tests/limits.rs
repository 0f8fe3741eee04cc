//! Every limit, at it and beyond it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod encoder;

use std::time::Duration;

use bytes::Buf;
use caudal_rtmp::{
    ChunkError, Event, Limits, LossReason, MAX_AMF_BYTES, MAX_CHUNK_STREAMS, MAX_COMMANDS, MAX_MESSAGE,
    MAX_MESSAGE_BEFORE_PUBLISH, MAX_STREAMS, MAX_UNREAD_REPLIES, PublisherConnection, PublisherEvent,
    Refusal, SessionError,
};
use encoder::{Dialogue, connect_object, plain_handshake, text};
use rml_amf0::Amf0Value;
use rml_rtmp::messages::{RtmpMessage, UserControlEventType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::Instant;

const FRAME: [u8; 6] = [0x17, 1, 0, 0, 0, 9];

fn failed(error: SessionError) -> Event {
    Event::Failed(error)
}

fn lost(error: SessionError) -> Event {
    Event::Publisher(PublisherEvent::Lost { explicit: false, reason: LossReason::Failed(error) })
}

/// Lets time pass up to the session's next deadline.
fn at_deadline(dialogue: &mut Dialogue) -> Option<Event> {
    let deadline = dialogue.session.next_deadline().unwrap();
    let before = deadline.checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(dialogue.session.handle_timeout(before), None);
    dialogue.now = deadline;
    dialogue.session.handle_timeout(deadline)
}

#[test]
fn a_handshake_has_five_seconds() {
    let mut dialogue = Dialogue::new(Limits::default());
    let start = dialogue.now;
    dialogue.now += Duration::from_secs(4);
    assert_eq!(dialogue.send(&plain_handshake()[..3000]), vec![]);
    assert_eq!(at_deadline(&mut dialogue), Some(failed(SessionError::HandshakeTimeout)));
    assert_eq!(dialogue.now - start, Duration::from_secs(5));
    assert_eq!(dialogue.session.next_deadline(), None);
}

#[test]
fn what_is_no_handshake_ends_at_its_first_byte() {
    let mut dialogue = Dialogue::new(Limits::default());
    assert_eq!(dialogue.send(b"GET / HTTP/1.1"), vec![failed(SessionError::BadHandshake)]);
}

#[test]
fn publish_has_ten_seconds_from_the_handshake() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    let start = dialogue.now;
    dialogue.now += Duration::from_secs(9);
    dialogue.command("connect", 1.0, connect_object(), &[]);
    assert_eq!(at_deadline(&mut dialogue), Some(failed(SessionError::PublishTimeout)));
    assert_eq!(dialogue.now - start, Duration::from_secs(10));
}

#[test]
fn an_answer_has_all_the_time_it_needs() {
    let (dialogue, _) = Dialogue::asking(Limits::default());
    assert_eq!(dialogue.session.next_deadline(), None);
}

#[test]
fn the_first_media_has_twenty_seconds() {
    let mut dialogue = Dialogue::live(Limits::default());
    let start = dialogue.now;
    dialogue.now += Duration::from_secs(19);
    // Metadata is no media.
    let metadata = rml_amf0::serialize(&vec![text("onMetaData"), connect_object()]).unwrap();
    assert_eq!(dialogue.message(18, 1, 0, &metadata).len(), 1);
    assert_eq!(at_deadline(&mut dialogue), Some(lost(SessionError::NoMedia)));
    assert_eq!(dialogue.now - start, Duration::from_secs(20));
}

#[test]
fn a_silent_publisher_is_pinged_at_thirty_seconds_and_gone_at_sixty() {
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.video(0, &FRAME);
    dialogue.replies();
    let start = dialogue.now;
    assert_eq!(at_deadline(&mut dialogue), None);
    assert_eq!(dialogue.now - start, Duration::from_secs(30));
    assert!(matches!(
        dialogue.replies().as_slice(),
        [RtmpMessage::UserControl { event_type: UserControlEventType::PingRequest, timestamp: Some(time), .. }]
            if time.value == 30_000
    ));
    assert_eq!(at_deadline(&mut dialogue), Some(lost(SessionError::Idle)));
    assert_eq!(dialogue.now - start, Duration::from_mins(1));
}

#[test]
fn a_connection_lives_by_any_byte_and_a_publisher_by_its_media() {
    let mut dialogue = Dialogue::live(Limits { media: Duration::from_mins(5), ..Limits::default() });
    dialogue.video(0, &FRAME);
    for _ in 0..5 {
        dialogue.now += Duration::from_secs(59);
        // An answer to a ping, and the empty tag that some encoders send to be heard of.
        assert_eq!(dialogue.message(4, 0, 0, &[0, 7, 0, 0, 0, 0]), vec![]);
        assert_eq!(dialogue.video(0, &[]), vec![]);
        assert_eq!(dialogue.session.handle_timeout(dialogue.now), None);
    }
    assert_eq!(at_deadline(&mut dialogue), Some(lost(SessionError::NoMedia)));
}

#[test]
fn sound_alone_is_media_too() {
    let mut dialogue = Dialogue::live(Limits::default());
    for second in 0..200 {
        dialogue.now += Duration::from_secs(1);
        assert_eq!(dialogue.message(8, 1, second, &[0xAF, 1, 0x21]).len(), 1);
        assert_eq!(dialogue.session.handle_timeout(dialogue.now), None);
    }
}

#[test]
fn what_waited_for_a_slow_consumer_counts_before_the_deadline_does() {
    // The consumer was away for two minutes, the publisher was not.
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.video(0, &FRAME);
    dialogue.now += Duration::from_mins(2);
    assert_eq!(dialogue.video(1, &FRAME).len(), 1);
    assert_eq!(dialogue.session.handle_timeout(dialogue.now), None);
}

#[test]
fn a_message_of_eight_mebibytes_passes_and_a_byte_more_does_not() {
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.set_chunk_size(1_000_000);
    let mut frame = vec![0; MAX_MESSAGE + 1];
    frame[0] = 0x17;
    let events = dialogue.video(0, &frame[..MAX_MESSAGE]);
    assert!(
        matches!(events.as_slice(), [Event::Publisher(PublisherEvent::Video { data, .. })] if data.len() == MAX_MESSAGE)
    );
    let error = ChunkError::MessageTooLong { length: MAX_MESSAGE + 1, limit: MAX_MESSAGE };
    assert_eq!(dialogue.video(0, &frame), vec![lost(error.into())]);
}

#[test]
fn a_stranger_may_send_much_less() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    let error = ChunkError::MessageTooLong {
        length: MAX_MESSAGE_BEFORE_PUBLISH + 1,
        limit: MAX_MESSAGE_BEFORE_PUBLISH,
    };
    assert_eq!(
        dialogue.message(20, 0, 0, &vec![0; MAX_MESSAGE_BEFORE_PUBLISH + 1]),
        vec![failed(error.into())]
    );
}

#[test]
fn nested_amf_ends_the_session_and_not_the_process() {
    for marker in [&[10, 0, 0, 0, 1][..], &[3, 0, 1, b'a'], &[8, 0, 0, 0, 1, 0, 1, b'a']] {
        let bomb: Vec<u8> = marker.iter().copied().cycle().take(60_000).collect();
        for kind in [17, 20] {
            let mut dialogue = Dialogue::after_handshake(Limits::default());
            let events = dialogue.message(kind, 0, 0, &bomb);
            assert!(matches!(events.as_slice(), [Event::Failed(SessionError::Command(_))]), "{events:?}");
        }
        // As data it is no metadata, before and after.
        let mut dialogue = Dialogue::after_handshake(Limits::default());
        assert_eq!(dialogue.message(18, 0, 0, &bomb), vec![]);
        let mut dialogue = Dialogue::live(Limits::default());
        assert_eq!(dialogue.message(18, 1, 0, &bomb), vec![]);
        assert_eq!(dialogue.video(0, &FRAME).len(), 1);
    }
}

#[test]
fn a_command_over_the_size_of_amf_ends_the_session_and_data_is_left_out() {
    let mut dialogue = Dialogue::live(Limits::default());
    assert_eq!(dialogue.message(18, 1, 0, &vec![5; MAX_AMF_BYTES + 1]), vec![]);
    let events = dialogue.message(20, 1, 0, &vec![5; MAX_AMF_BYTES + 1]);
    assert!(matches!(
        events.as_slice(),
        [Event::Publisher(PublisherEvent::Lost { reason: LossReason::Failed(SessionError::Command(_)), .. })]
    ));
}

#[test]
fn chunk_streams_are_counted() {
    let mut dialogue = Dialogue::live(Limits::default());
    // The dialogue itself used some.
    let mut events = Vec::new();
    for id in 64..=64 + u8::try_from(MAX_CHUNK_STREAMS).unwrap() {
        events = dialogue.send(&[&[0, id - 64, 0, 0, 0, 0, 0, 6, 9, 1, 0, 0, 0][..], &FRAME].concat());
        if events.iter().any(|event| matches!(event, Event::Publisher(PublisherEvent::Lost { .. }))) {
            break;
        }
    }
    assert_eq!(events, vec![lost(ChunkError::TooManyChunkStreams.into())]);
}

#[test]
fn commands_before_publish_are_counted() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    for _ in 0..MAX_COMMANDS {
        assert_eq!(dialogue.command("unknown", 0.0, Amf0Value::Null, &[]), vec![]);
    }
    let events = dialogue.command("unknown", 0.0, Amf0Value::Null, &[]);
    assert_eq!(events, vec![failed(SessionError::TooManyCommands)]);
}

#[test]
fn streams_are_counted() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    dialogue.command("connect", 1.0, connect_object(), &[]);
    for _ in 0..=MAX_STREAMS {
        dialogue.command("createStream", 2.0, Amf0Value::Null, &[]);
    }
    let replies = dialogue.command_replies();
    let names: Vec<_> = replies[1..].iter().map(|(name, ..)| name.as_str()).collect();
    let (last, granted) = names.split_last().unwrap();
    assert_eq!(granted, vec!["_result"; usize::try_from(MAX_STREAMS).unwrap()]);
    assert_eq!(*last, "_error");
}

#[test]
fn bitrate_is_averaged_over_ten_seconds() {
    let limits = Limits { max_bitrate: Some(8_000_000), ..Limits::default() };
    let mut frame = vec![0; 100_000];
    frame[0] = 0x17;
    // 0.95 MB/s for a minute, with a pause of five seconds and what was missed in it at once.
    let mut dialogue = Dialogue::live(limits.clone());
    dialogue.set_chunk_size(60_000);
    for frames in (0..60).map(|second| if second % 20 == 5 { 50 } else { 9 }) {
        if frames == 50 {
            dialogue.now += Duration::from_secs(5);
        }
        dialogue.now += Duration::from_secs(1);
        for _ in 0..frames {
            assert_eq!(dialogue.video(0, &frame).len(), 1);
            dialogue.replies();
        }
    }
    // Twice the limit lasts ten seconds.
    let mut dialogue = Dialogue::live(limits);
    dialogue.set_chunk_size(60_000);
    let mut seconds = 0;
    let end = 'sending: loop {
        dialogue.now += Duration::from_secs(1);
        seconds += 1;
        for _ in 0..20 {
            let mut events = dialogue.video(0, &frame);
            dialogue.replies();
            if let Some(event @ Event::Publisher(PublisherEvent::Lost { .. })) = events.pop() {
                break 'sending event;
            }
        }
    };
    assert_eq!(end, lost(SessionError::TooFast(8_000_000)));
    assert!((9..=11).contains(&seconds), "{seconds}");
}

#[test]
fn a_trusted_peer_may_be_as_fast_as_it_likes() {
    let mut dialogue = Dialogue::live(Limits { max_bitrate: None, ..Limits::default() });
    dialogue.set_chunk_size(10_000_000);
    let mut frame = vec![0; MAX_MESSAGE];
    frame[0] = 0x17;
    for _ in 0..20 {
        assert_eq!(dialogue.video(0, &frame).len(), 1);
        dialogue.replies();
    }
}

#[test]
fn a_peer_that_asks_and_never_reads_is_dropped() {
    let mut dialogue = Dialogue::live(Limits::default());
    let mut events = Vec::new();
    while events.is_empty() {
        events = dialogue.command("FCPublish", 1.0, Amf0Value::Null, &[]);
        assert!(dialogue.session.output().remaining() < MAX_UNREAD_REPLIES + 4096);
    }
    assert_eq!(events, vec![lost(SessionError::PeerDoesNotRead)]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_connections_that_say_nothing_end_in_time() {
    let started = Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    let mut peers = Vec::new();
    for _ in 0..1000 {
        let (mut peer, server) = duplex(4096);
        peer.write_all(&[3]).await.unwrap();
        peers.push(peer);
        connections.spawn(PublisherConnection::accept(server, Limits::default()));
    }
    while let Some(result) = connections.join_next().await {
        assert_eq!(result.unwrap().unwrap_err(), SessionError::HandshakeTimeout);
    }
    // Nothing holds them any longer than the handshake may take, up to the timer's millisecond.
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_secs(5) && elapsed <= Duration::from_millis(5010), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_peer_that_never_closes_is_waited_for_two_seconds() {
    let (mut peer, server) = duplex(64 * 1024);
    peer.write_all(&opening_bytes()).await.unwrap();
    let request = PublisherConnection::accept(server, Limits::default()).await.unwrap();
    let started = Instant::now();
    request.reject(Refusal::Denied, "no such key").await;
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.contains("NetStream.Publish.Denied") && heard.contains("no such key"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_gives_up_waiting_is_noticed() {
    let (mut peer, server) = duplex(64 * 1024);
    peer.write_all(&opening_bytes()).await.unwrap();
    let mut request = PublisherConnection::accept(server, Limits::default()).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(30), request.closed()).await;
    assert!(waited.is_err());
    drop(peer);
    request.closed().await;
}

/// Handshake, `connect` and `publish`.
fn opening_bytes() -> Vec<u8> {
    let connect = b"\x03\0\0\0\0\0\x17\x14\0\0\0\0\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03\0\0\x09";
    let publish = b"\x03\0\0\0\0\0\x18\x14\x01\0\0\0\x02\0\x07publish\0\0\0\0\0\0\0\0\0\x05\x02\0\x01k";
    [plain_handshake().as_slice(), connect, publish].concat()
}
