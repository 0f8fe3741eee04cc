use bytes::BufMut;
use proptest::prelude::*;

use super::*;
use crate::chunk_writer::ChunkWriter;
use crate::limits::MAX_MESSAGE;
use crate::send_queue::SendQueue;

/// What a stranger may leave unfinished.
const BEFORE_PUBLISH: usize = UNFINISHED_MESSAGES * MAX_MESSAGE_BEFORE_PUBLISH;

fn full_header(id: u8, timestamp: u32, length: usize, kind: u8) -> BytesMut {
    let mut chunk = BytesMut::new();
    chunk.put_u8(id);
    chunk.put_uint(u64::from(timestamp.min(EXTENDED)), 3);
    chunk.put_uint(u64::try_from(length).unwrap(), 3);
    chunk.put_u8(kind);
    chunk.put_u32_le(1);
    if timestamp >= EXTENDED {
        chunk.put_u32(timestamp);
    }
    chunk
}

fn full(id: u8, timestamp: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut chunk = full_header(id, timestamp, payload.len(), kind);
    chunk.put_slice(payload);
    chunk.to_vec()
}

/// A type-1 header: delta, length and kind.
fn delta(id: u8, delta: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut chunk = BytesMut::new();
    chunk.put_u8(0x40 | id);
    chunk.put_uint(u64::from(delta.min(EXTENDED)), 3);
    chunk.put_uint(u64::try_from(payload.len()).unwrap(), 3);
    chunk.put_u8(kind);
    if delta >= EXTENDED {
        chunk.put_u32(delta);
    }
    chunk.put_slice(payload);
    chunk.to_vec()
}

/// A type-2 header: delta only.
fn delta_only(id: u8, delta: u32, payload: &[u8]) -> Vec<u8> {
    let mut chunk = BytesMut::new();
    chunk.put_u8(0x80 | id);
    chunk.put_uint(u64::from(delta.min(EXTENDED)), 3);
    if delta >= EXTENDED {
        chunk.put_u32(delta);
    }
    chunk.put_slice(payload);
    chunk.to_vec()
}

fn bare(id: u8, payload: &[u8]) -> Vec<u8> {
    [&[0xC0 | id], payload].concat()
}

fn control(kind: u8, value: u32) -> Vec<u8> {
    full(2, 0, kind, &value.to_be_bytes())
}

fn read(bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut reader = ChunkReader::new();
    reader.set_max_message(MAX_MESSAGE);
    read_with(&mut reader, bytes)
}

fn read_with(reader: &mut ChunkReader, bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut input = BytesMut::from(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.next_message(&mut input)? {
        messages.push(message);
    }
    Ok(messages)
}

fn timestamps(bytes: &[u8]) -> Vec<u32> {
    read(bytes).unwrap().iter().map(|message| message.timestamp).collect()
}

#[test]
fn messages_interleaved_across_chunk_streams_come_out_whole() {
    let video = [9; 300];
    let audio = [8; 200];
    let bytes = [
        full_header(6, 10, 300, 9).to_vec(),
        video[..128].to_vec(),
        full_header(4, 11, 200, 8).to_vec(),
        audio[..128].to_vec(),
        bare(6, &video[128..256]),
        bare(4, &audio[128..]),
        bare(6, &video[256..]),
    ]
    .concat();
    let messages = read(&bytes).unwrap();
    let seen: Vec<_> = messages.iter().map(|message| (message.kind, message.payload.len())).collect();
    assert_eq!(seen, [(8, 200), (9, 300)]);
    assert!(messages.iter().all(|message| message.payload.iter().all(|byte| *byte == message.kind)));
}

#[test]
fn each_kind_of_header_adds_up_to_the_right_time() {
    let bytes = [
        full(4, 1000, 8, b"ab"),
        delta(4, 23, 8, b"abc"),
        delta_only(4, 24, b"abc"),
        // Nothing said: the last delta again.
        bare(4, b"abc"),
        bare(4, b"abc"),
    ]
    .concat();
    assert_eq!(timestamps(&bytes), [1000, 1023, 1047, 1071, 1095]);
}

#[test]
fn a_bare_header_after_a_full_one_adds_the_full_timestamp() {
    // RTMP 1.0 §5.3.1.2.4, and what ffmpeg writes when the first two frames are as far apart as the first
    // is from zero.
    assert_eq!(timestamps(&[full(4, 23, 8, b"ab"), bare(4, b"ab")].concat()), [23, 46]);
}

#[test]
fn time_wraps_at_32_bits() {
    let bytes = [full(4, u32::MAX - 9, 8, b"a"), delta(4, 20, 8, b"b")].concat();
    assert_eq!(timestamps(&bytes), [u32::MAX - 9, 10]);
    // A step back is a delta that wraps.
    let bytes = [full(4, 100, 8, b"a"), delta(4, 0u32.wrapping_sub(60), 8, b"b")].concat();
    assert_eq!(timestamps(&bytes), [100, 40]);
}

#[test]
fn a_long_message_with_extended_timestamps_is_read_with_and_without_their_repetition() {
    for timestamp in [EXTENDED, EXTENDED + 1, 0x0123_4567, u32::MAX] {
        let payload: Vec<u8> = (0..=255).cycle().skip(77).take(300).collect();
        for repeated in [true, false] {
            let extended = if repeated { timestamp.to_be_bytes().to_vec() } else { Vec::new() };
            let bytes = [
                full_header(6, timestamp, 300, 9).to_vec(),
                payload[..128].to_vec(),
                bare(6, &extended),
                payload[128..256].to_vec(),
                bare(6, &extended),
                payload[256..].to_vec(),
                delta(6, 40, 9, b"next"),
            ]
            .concat();
            let messages = read(&bytes).unwrap();
            assert_eq!(messages.len(), 2, "{timestamp:#x} {repeated}");
            assert_eq!(messages[0].payload, payload, "{timestamp:#x} {repeated}");
            assert_eq!(messages[0].timestamp, timestamp);
            assert_eq!(messages[1].timestamp, timestamp.wrapping_add(40));
        }
    }
}

#[test]
fn an_extended_delta_is_added_and_its_repetition_stepped_over() {
    let payload = vec![0x55; 200];
    let jump = 0x0200_0000_u32;
    for repeated in [jump.to_be_bytes().to_vec(), (jump + 5).to_be_bytes().to_vec(), Vec::new()] {
        let mut chunk = BytesMut::new();
        chunk.put_u8(0x46);
        chunk.put_uint(u64::from(EXTENDED), 3);
        chunk.put_uint(200, 3);
        chunk.put_u8(9);
        chunk.put_u32(jump);
        let bytes = [
            full(6, 5, 9, b"first"),
            chunk.to_vec(),
            payload[..128].to_vec(),
            bare(6, &repeated),
            payload[128..].to_vec(),
        ]
        .concat();
        let messages = read(&bytes).unwrap();
        assert_eq!(messages[1].timestamp, jump + 5);
        assert_eq!(messages[1].payload, payload);
    }
}

#[test]
fn the_last_bytes_of_an_unrepeated_message_are_not_waited_for() {
    // Three bytes are left, none of them the timestamp's first: no need for a fourth to tell.
    let bytes = [full_header(6, 0x0100_0000, 131, 9).to_vec(), vec![0x77; 128], bare(6, &[0x77; 3])].concat();
    assert_eq!(read(&bytes).unwrap().len(), 1);
}

#[test]
fn chunk_stream_ids_have_one_two_and_three_bytes() {
    let mut bytes = Vec::new();
    for basic in [&[63][..], &[0, 0], &[0, 255], &[1, 0, 1], &[1, 255, 255]] {
        bytes.extend_from_slice(basic);
        bytes.extend_from_slice(&full(2, 7, 8, b"x")[1..]);
    }
    assert_eq!(read(&bytes).unwrap().len(), 5);
    // 319 in two bytes and in three is the same chunk stream.
    let two = [&[0, 255], &full(2, 7, 8, b"x")[1..]].concat();
    assert_eq!(timestamps(&[two, vec![0xC1, 255, 0, b'y']].concat()), [7, 14]);
}

#[test]
fn chunk_sizes_from_one_byte_to_a_whole_message_are_followed() {
    for size in [1, 2, 128, 129, 4096, 60_000, 0x00FF_FFFF, 0x7FFF_FFFF] {
        let mut bytes = control(1, size);
        let payload = vec![7; 5000];
        bytes.extend_from_slice(&full_header(6, 0, 5000, 9));
        for (index, piece) in payload.chunks(usize::try_from(size).unwrap()).enumerate() {
            if index > 0 {
                bytes.push(0xC6);
            }
            bytes.extend_from_slice(piece);
        }
        assert_eq!(read(&bytes).unwrap()[0].payload, payload, "chunk size {size}");
    }
}

#[test]
fn impossible_chunk_sizes_end_the_session() {
    for size in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(read(&control(1, size)), Err(ChunkError::BadChunkSize(size)));
    }
    assert_eq!(read(&full(2, 0, 1, b"abc")), Err(ChunkError::ShortControl(1)));
    assert_eq!(read(&full(2, 0, 2, b"")), Err(ChunkError::ShortControl(2)));
}

#[test]
fn an_aborted_message_is_forgotten_with_its_memory() {
    let mut reader = ChunkReader::new();
    let begun = [full_header(6, 0, 5000, 9).to_vec(), vec![1; 128]].concat();
    assert_eq!(read_with(&mut reader, &begun), Ok(vec![]));
    assert_eq!(reader.held(), 5000);
    read_with(&mut reader, &control(2, 6)).unwrap();
    assert_eq!(reader.held(), 0);
    let next = read_with(&mut reader, &full(6, 0, 9, b"next")).unwrap();
    assert_eq!(next[0].payload, &b"next"[..]);
}

#[test]
fn a_new_header_in_the_middle_of_a_message_gives_it_up() {
    let mut reader = ChunkReader::new();
    for _ in 0..1000 {
        let begun = [full_header(6, 0, 5000, 9).to_vec(), vec![1; 128]].concat();
        assert_eq!(read_with(&mut reader, &begun), Ok(vec![]));
        assert_eq!(reader.held(), 5000);
    }
}

#[test]
fn empty_messages_come_out_empty() {
    let bytes = [full(4, 5, 8, b""), bare(4, b""), full(4, 20, 8, b"x")].concat();
    let messages = read(&bytes).unwrap();
    assert_eq!(messages.len(), 3);
    assert!(messages[0].payload.is_empty());
}

#[test]
fn a_message_over_its_bound_is_refused_by_its_header_alone() {
    let mut reader = ChunkReader::new();
    let header = full_header(6, 0, MAX_MESSAGE_BEFORE_PUBLISH + 1, 9);
    let error = ChunkError::MessageTooLong {
        length: MAX_MESSAGE_BEFORE_PUBLISH + 1,
        limit: MAX_MESSAGE_BEFORE_PUBLISH,
    };
    assert_eq!(read_with(&mut reader, &header), Err(error));
    assert_eq!(reader.held(), 0);
    assert_eq!(read(&full_header(6, 0, MAX_MESSAGE, 9)), Ok(vec![]));
    assert!(read(&full_header(6, 0, MAX_MESSAGE + 1, 9)).is_err());
}

#[test]
fn unfinished_messages_are_bounded_together() {
    let mut reader = ChunkReader::new();
    let mut result = Ok(vec![]);
    let mut begun = 0;
    for id in 3..20 {
        let bytes = [full_header(id, 0, 50_000, 9).to_vec(), vec![0; 128]].concat();
        result = read_with(&mut reader, &bytes);
        assert!(reader.held() <= BEFORE_PUBLISH);
        if result.is_err() {
            break;
        }
        begun += 1;
    }
    assert_eq!(begun, BEFORE_PUBLISH / 50_000);
    assert!(matches!(result, Err(ChunkError::TooMuchUnfinished { .. })));
}

#[test]
fn one_byte_at_a_time_is_enough() {
    let mut reader = ChunkReader::new();
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    let payload: Vec<u8> = (0..=255).cycle().take(300).collect();
    let timestamp = 0x0123_4567;
    let bytes = [
        full_header(6, timestamp, 300, 9).to_vec(),
        payload[..128].to_vec(),
        bare(6, &timestamp.to_be_bytes()),
        payload[128..256].to_vec(),
        bare(6, &payload[256..]),
        delta(6, 5, 8, b"next"),
    ];
    for byte in bytes.concat() {
        input.put_u8(byte);
        messages.extend(reader.next_message(&mut input).unwrap());
    }
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].payload, payload);
    assert_eq!(messages[1].timestamp, timestamp + 5);
}

#[test]
fn at_that_bound_it_does_not_matter_how_bytes_arrive() {
    let begun = |id| [full_header(id, 0, 65_000, 9).to_vec(), vec![0; 128]].concat();
    let small = full(6, 0, 8, &[7; 100]);
    for enough in [972, 973] {
        let bytes = [begun(3), begun(4), full_header(5, 0, enough, 9).to_vec(), vec![0; 128], small.clone()];
        crate::fuzzing::chunk_reader(&bytes.concat());
        let result = read_with(&mut ChunkReader::new(), &bytes.concat());
        assert_eq!(result.is_ok(), enough == 972, "{result:?}");
    }
}

#[test]
fn chunk_streams_are_bounded() {
    let mut reader = ChunkReader::new();
    for id in 0..MAX_CHUNK_STREAMS {
        read_with(&mut reader, &full(u8::try_from(id + 2).unwrap(), 0, 8, b"x")).unwrap();
    }
    let one_more = full(60, 0, 8, b"x");
    assert_eq!(read_with(&mut reader, &one_more), Err(ChunkError::TooManyChunkStreams));
}

#[test]
fn a_chunk_stream_that_begins_with_a_reference_to_nothing_is_refused() {
    assert_eq!(read(&bare(5, b"x")), Err(ChunkError::NoPreviousChunk(5)));
    assert_eq!(read(&delta_only(5, 1, b"x")), Err(ChunkError::NoPreviousChunk(5)));
    // librtmp's control messages.
    assert_eq!(timestamps(&delta(5, 7, 4, b"x")), [7]);
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let timestamp = prop_oneof![any::<u32>(), 0..50_u32, (EXTENDED - 3)..(EXTENDED + 3)];
    let message = (timestamp, 8..10_u8, any::<u32>(), prop::collection::vec(any::<u8>(), 0..700)).prop_map(
        |(timestamp, kind, stream_id, payload)| Message {
            timestamp,
            kind,
            stream_id,
            payload: payload.into(),
        },
    );
    prop::collection::vec(message, 0..12)
}

proptest! {
    #[test]
    fn what_the_writer_writes_the_reader_reads(messages in messages(), chunk_size in 1..400_u32) {
        let mut writer = ChunkWriter::new();
        let mut queue = SendQueue::default();
        let announcement = Message { timestamp: 0, kind: 1, stream_id: 0, payload: chunk_size.to_be_bytes().to_vec().into() };
        writer.write(2, &announcement, &mut queue);
        writer.set_chunk_size(chunk_size);
        for message in &messages {
            writer.write(message.kind, message, &mut queue);
        }
        let bytes = queue.copy_to_bytes(queue.remaining());
        prop_assert_eq!(read(&bytes).unwrap(), messages);
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_messages(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        crate::fuzzing::chunk_reader(&bytes);
    }

    /// Random bytes seldom get past the first header; these do.
    #[test]
    fn likely_chunks_in_any_pieces_give_the_same_messages(
        chunks in prop::collection::vec((0..4_u8, 2..5_u8, 0..3_u8, 0..300_usize, 0..3_u8), 0..40),
    ) {
        let mut bytes = Vec::new();
        for (format, id, time, length, kind) in chunks {
            let time = [7, 0x00FF_FFFF, 0x0100_0000][usize::from(time)];
            let payload = vec![u8::from(length % 2 == 0); length.min(128)];
            match format {
                0 => {
                    bytes.extend_from_slice(&full_header(id, time, length, [8, 9, 1][usize::from(kind)]));
                    bytes.extend_from_slice(&payload);
                }
                1 => bytes.extend_from_slice(&delta(id, time, 9, &payload)),
                2 => bytes.extend_from_slice(&delta_only(id, time, &payload)),
                _ => bytes.extend_from_slice(&bare(id, &payload)),
            }
        }
        crate::fuzzing::chunk_reader(&bytes);
    }
}
