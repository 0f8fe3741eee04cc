//! Whole sessions against peers that mean no good, or nothing at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod encoder;

use bytes::{BufMut, BytesMut};
use caudal_rtmp::{ClientSession, RelayTarget, fuzzing};
use proptest::prelude::*;

/// A message in one chunk with a full header; what it says need not be so.
#[derive(Debug, Clone)]
struct Chunk {
    first: u8,
    timestamp: u32,
    length: u32,
    kind: u8,
    stream_id: u32,
    payload: Vec<u8>,
}

impl Chunk {
    fn write(&self, bytes: &mut BytesMut) {
        bytes.put_u8(self.first);
        bytes.put_uint(u64::from(self.timestamp), 3);
        bytes.put_uint(u64::from(self.length), 3);
        bytes.put_u8(self.kind);
        bytes.put_u32_le(self.stream_id);
        bytes.put_slice(&self.payload);
    }
}

fn command() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "connect",
        "releaseStream",
        "FCPublish",
        "createStream",
        "publish",
        "play",
        "FCUnpublish",
        "deleteStream",
        "closeStream",
        "_checkbw",
        "getStreamLength",
        "@setDataFrame",
        "onMetaData",
        "onStatus",
        "_result",
        "_error",
    ]);
    let tail = prop_oneof![
        Just(vec![]),
        Just(vec![5]),
        Just(b"\x05\x02\0\x01k".to_vec()),
        Just(b"\x03\0\x03app\x02\0\x04live\0\0\x09".to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    (names, any::<f64>(), tail).prop_map(|(name, transaction, tail)| {
        let mut payload = BytesMut::new();
        payload.put_u8(2);
        payload.put_u16(u16::try_from(name.len()).unwrap());
        payload.put_slice(name.as_bytes());
        payload.put_u8(0);
        payload.put_f64(transaction);
        payload.put_slice(&tail);
        payload.to_vec()
    })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    let kind = prop_oneof![
        4 => prop::sample::select(vec![1, 2, 3, 4, 5, 6, 8, 9, 15, 17, 18, 20, 22]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        2 => command(),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => prop_oneof![Just(200_u32), any::<u32>(), 0..5_u32].prop_map(|number| number.to_be_bytes().to_vec()),
        1 => prop::collection::vec(Just(0x17), 1..120),
    ];
    let lie = prop_oneof![8 => Just(0_i32), 1 => -3..300_i32];
    (2..6_u8, any::<u32>(), kind, 0..3_u32, payload, lie).prop_map(
        |(first, timestamp, kind, stream_id, payload, lie)| {
            let length = i32::try_from(payload.len()).unwrap().saturating_add(lie).max(0);
            Chunk {
                first,
                timestamp: timestamp & 0x00FF_FFFF,
                length: length.unsigned_abs(),
                kind,
                stream_id,
                payload,
            }
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_events_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        fuzzing::session(&bytes);
    }

    #[test]
    fn likely_messages_give_the_same_events_in_any_pieces(
        stage in 1..3_u8,
        chunks in prop::collection::vec(chunk(), 0..40),
    ) {
        let mut bytes = BytesMut::new();
        bytes.put_u8(stage);
        for chunk in &chunks {
            chunk.write(&mut bytes);
        }
        fuzzing::session(&bytes);
    }

    /// Workers decode what publishers send, and may come to say anything.
    #[test]
    fn a_relay_survives_any_server(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        chunks in prop::collection::vec(chunk(), 0..20),
    ) {
        let target = RelayTarget { app: String::new(), stream_name: String::new(), tc_url: String::new() };
        for hostile in [true, false] {
            let mut session = ClientSession::new(target.clone()).unwrap();
            let mut input = BytesMut::from(encoder::plain_handshake().as_slice());
            if hostile {
                input.put_slice(&bytes);
            }
            for chunk in &chunks {
                chunk.write(&mut input);
            }
            while session.receive(&mut input).is_some() {}
        }
    }

    #[test]
    fn a_session_with_a_byte_changed_harms_nobody(at in 0..10_000_usize, with in any::<u8>()) {
        let mut bytes = whole_session();
        let at = at % bytes.len();
        bytes[at] = with;
        fuzzing::session(&bytes);
    }
}

/// Stage 0 of the fuzzer, and everything an encoder sends.
fn whole_session() -> Vec<u8> {
    let mut bytes = BytesMut::from([&[0][..], &encoder::plain_handshake()].concat().as_slice());
    let messages: [(u8, u32, &[u8]); 7] = [
        (1, 0, &[0, 0, 0x10, 0]),
        (20, 0, b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03\0\x03app\x02\0\x04live\0\0\x09"),
        (20, 0, b"\x02\0\x0ccreateStream\0\x40\0\0\0\0\0\0\0\x05"),
        (20, 1, b"\x02\0\x07publish\0\0\0\0\0\0\0\0\0\x05\x02\0\x01k"),
        (18, 1, b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x03\0\x05width\0\x40\x94\0\0\0\0\0\0\0\0\x09"),
        (9, 1, &[0x17; 200]),
        (8, 1, &[0xAF; 20]),
    ];
    for (kind, stream_id, payload) in messages {
        let length = u32::try_from(payload.len()).unwrap();
        Chunk { first: 3, timestamp: 5, length, kind, stream_id, payload: payload.to_vec() }
            .write(&mut bytes);
    }
    bytes.to_vec()
}
