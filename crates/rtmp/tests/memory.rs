//! What a message holds in memory once it has left the session: its own bytes and no more, so that whoever keeps messages
//! and counts their lengths knows what they cost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod encoder;

use bytes::{Bytes, BytesMut};
use caudal_rtmp::{Event, Limits, PublisherEvent};
use encoder::Dialogue;

const VIDEO: u8 = 9;
const AGGREGATE: u8 = 22;

fn media(events: Vec<Event>) -> Vec<Bytes> {
    let media = events.into_iter().filter_map(|event| match event {
        Event::Publisher(PublisherEvent::Video { data, .. } | PublisherEvent::Audio { data, .. }) => {
            Some(data)
        }
        _ => None,
    });
    media.collect()
}

/// The allocation behind `data`; fails where others share it.
fn allocated(data: Bytes) -> usize {
    let alone: BytesMut = data.try_into_mut().expect("memory of its own");
    alone.capacity()
}

#[test]
fn a_frame_that_is_kept_does_not_keep_the_read_buffer_it_came_in() {
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.set_chunk_size(60_000);
    let mut kept = Vec::new();
    for length in [3, 1000, 8 * 1024, 20_000, 59_000, 200_000].into_iter().cycle().take(60) {
        let mut frame = vec![0x27; length];
        frame[1] = 1;
        kept.extend(media(dialogue.message(VIDEO, 1, 0, &frame)));
        // What nobody keeps lies in the same buffer.
        media(dialogue.message(VIDEO, 1, 0, &vec![0x27; 50_000]));
    }
    assert_eq!(kept.len(), 60);
    for frame in kept {
        let length = frame.len();
        assert!(allocated(frame) <= length + 64, "a frame of {length} bytes");
    }
}

#[test]
fn a_tag_that_is_kept_does_not_keep_the_aggregate_it_came_in() {
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.set_chunk_size(60_000);
    let mut aggregate = Vec::new();
    for length in [3_usize, 1_000_000] {
        aggregate.push(VIDEO);
        aggregate.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
        aggregate.extend_from_slice(&[0; 7]);
        aggregate.extend(std::iter::repeat_n(0x27, length));
        aggregate.extend_from_slice(&[0; 4]);
    }
    let tags = media(dialogue.message(AGGREGATE, 1, 0, &aggregate));
    assert_eq!(tags.len(), 2);
    for tag in tags {
        let length = tag.len();
        assert!(allocated(tag) <= length + 64, "a tag of {length} bytes");
    }
}
