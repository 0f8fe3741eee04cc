//! What the fuzzers run, as plain functions, so that tests run it too. Each asserts what must hold for any
//! bytes.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::amf;
use crate::chunk_reader::{ChunkError, ChunkReader};
use crate::limits::{Limits, MAX_AMF_VALUES, MAX_MESSAGE, MAX_MESSAGE_BEFORE_PUBLISH, UNFINISHED_MESSAGES};
use crate::message::Message;
use crate::metadata::Metadata;
use crate::server_session::{Event, PublisherEvent, ServerSession};

/// However the bytes are split, the same messages come out, and what is held stays within bounds.
pub fn chunk_reader(data: &[u8]) {
    let whole = read_chunks(data, &mut |rest| rest);
    let mut seed = data.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let split = read_chunks(data, &mut |rest| random_piece(&mut seed, rest));
    // Not `assert_eq`: what differs may be thousands of messages.
    assert!(whole == split, "in random pieces {} came out, at once {}", split.0.len(), whole.0.len());
}

/// Any bytes are read or refused, within bounds, and what metadata passes on can be read again.
pub fn amf(data: &[u8]) {
    let decoded = amf::decode(data);
    assert!(decoded.values.len() <= MAX_AMF_VALUES);
    if let Some(metadata) = Metadata::read(&data.to_vec().into()) {
        assert!(amf::decode(&metadata.raw).error.is_none());
        let again = Metadata::read(&metadata.raw);
        assert_eq!(again.as_ref(), Some(&metadata));
    }
}

/// A whole session. The first byte says how far it has come before the rest arrives: nothing said,
/// hands shaken, publishing. However the rest is split, the same events come out, the end comes once,
/// and nothing after it.
pub fn session(data: &[u8]) {
    let Some((stage, data)) = data.split_first() else { return };
    let opening = match stage % 3 {
        0 => Vec::new(),
        1 => plain_handshake(),
        _ => [plain_handshake(), publishing()].concat(),
    };
    let whole = run_session(&opening, data, &mut |rest| rest);
    let mut seed = u64::from(*stage);
    let split = run_session(&opening, data, &mut |rest| random_piece(&mut seed, rest));
    assert_eq!(whole, split);
    let ends = whole.iter().filter(|event| is_end(event)).count();
    assert_eq!(ends, 1);
    assert!(whole.last().is_some_and(is_end));
}

fn read_chunks(data: &[u8], piece: &mut dyn FnMut(usize) -> usize) -> (Vec<Message>, Option<ChunkError>) {
    let mut reader = ChunkReader::new();
    let mut messages = Vec::new();
    let mut input = BytesMut::new();
    let mut rest = data;
    while let Some((taken, behind)) = rest.split_at_checked(piece(rest.len()).clamp(1, rest.len().max(1))) {
        input.extend_from_slice(taken);
        rest = behind;
        loop {
            match reader.next_message(&mut input) {
                Ok(Some(message)) => {
                    assert!(message.payload.len() <= MAX_MESSAGE_BEFORE_PUBLISH);
                    messages.push(message);
                }
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.len() <= LONGEST_HEADER, "{} bytes were left behind", input.len());
        assert!(reader.held() <= UNFINISHED_MESSAGES * MAX_MESSAGE_BEFORE_PUBLISH);
    }
    (messages, None)
}

fn run_session(opening: &[u8], data: &[u8], piece: &mut dyn FnMut(usize) -> usize) -> Vec<Event> {
    let now = Instant::now();
    let mut session = ServerSession::new(now, Limits::default());
    let mut events = Vec::new();
    let mut input = BytesMut::from(opening);
    let mut rest = data;
    loop {
        while let Some(event) = session.receive(now, &mut input) {
            if matches!(event, Event::PublishRequested(_)) {
                session.accept_publish(now);
            }
            if let Event::Publisher(PublisherEvent::Audio { data, .. } | PublisherEvent::Video { data, .. }) =
                &event
            {
                assert!(!data.is_empty() && data.len() <= MAX_MESSAGE);
            }
            events.push(event);
        }
        let Some((taken, behind)) = rest.split_at_checked(piece(rest.len()).clamp(1, rest.len().max(1)))
        else {
            break;
        };
        input.extend_from_slice(taken);
        rest = behind;
    }
    let late = now + Duration::from_hours(1);
    events.extend(session.handle_timeout(late));
    events.extend(session.handle_eof());
    assert_eq!(session.next_deadline(), None);
    assert_eq!(session.receive(late, &mut input), None);
    events
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::Failed(_) | Event::Publisher(PublisherEvent::Lost { .. }))
}

fn random_piece(seed: &mut u64, rest: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let most = if *seed & 1 == 0 { 8 } else { 700 };
    usize::try_from((*seed >> 33) % most).unwrap_or(0).min(rest)
}

/// C0, C1 and C2 as the specification's first pages have them, without digest.
fn plain_handshake() -> Vec<u8> {
    let mut bytes = vec![0; 1 + 2 * 1536];
    if let Some(version) = bytes.first_mut() {
        *version = 3;
    }
    bytes
}

/// `connect` and `publish`, as short as they can be.
fn publishing() -> Vec<u8> {
    let connect = b"\x03\0\0\0\0\0\x17\x14\0\0\0\0\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03\0\0\x09";
    let publish = b"\x03\0\0\0\0\0\x18\x14\x01\0\0\0\x02\0\x07publish\0\0\0\0\0\0\0\0\0\x05\x02\0\x01k";
    [connect.as_slice(), publish].concat()
}

/// Basic header, message header, extended timestamp.
const LONGEST_HEADER: usize = 3 + 11 + 4;
