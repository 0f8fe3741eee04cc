//! Bytes on their way to the peer.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// What waits to be written: small pieces gathered in buffers, large payloads by reference, so that one
/// vectored write takes a whole batch.
#[derive(Default)]
pub struct SendQueue {
    segments: VecDeque<Bytes>,
    tail: BytesMut,
    queued: usize,
}

/// Without the bytes: a relay's proof is among them.
impl fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendQueue({} bytes)", self.remaining())
    }
}

impl SendQueue {
    /// Where headers and other small things are written.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        if self.tail.capacity() - self.tail.len() < LONGEST_HEADER {
            self.tail.reserve(HEADERS);
        }
        &mut self.tail
    }

    /// Appends a payload.
    pub(crate) fn push(&mut self, payload: Bytes) {
        if payload.len() < SHARE_FROM {
            self.tail.extend_from_slice(&payload);
            return;
        }
        let tail = self.tail.split().freeze();
        for segment in [tail, payload] {
            if !segment.is_empty() {
                self.queued += segment.len();
                self.segments.push_back(segment);
            }
        }
    }
}

impl Buf for SendQueue {
    fn remaining(&self) -> usize {
        self.queued + self.tail.len()
    }

    fn chunk(&self) -> &[u8] {
        self.segments.front().map_or(&self.tail, |segment| segment.as_ref())
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail: &[u8] = &self.tail;
        let pieces = self.segments.iter().map(AsRef::as_ref).chain((!tail.is_empty()).then_some(tail));
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.segments.front_mut() {
            if count < front.len() {
                front.advance(count);
                self.queued -= count;
                return;
            }
            count -= front.len();
            self.queued -= front.len();
            self.segments.pop_front();
        }
        self.tail.advance(count);
    }
}

/// Below this a copy is cheaper than a slice of its own in the write.
const SHARE_FROM: usize = 1024;

/// One chunk header, with extended timestamp.
const LONGEST_HEADER: usize = 16;

/// Headers between payloads come from buffers of this size; an idle connection keeps one.
const HEADERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_pieces_leave_in_the_order_they_came() {
        let mut queue = SendQueue::default();
        let mut expected = Vec::new();
        for length in [3, 5000, 7, 0, 1024, 1023, 9000] {
            let piece = Bytes::from(vec![u8::try_from(length % 251).unwrap(); length]);
            expected.extend_from_slice(&piece);
            queue.push(piece);
        }
        assert_eq!(queue.remaining(), expected.len());
        let mut sent = Vec::new();
        while queue.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = queue.chunks_vectored(&mut slices);
            let batch: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            // A socket takes as much as it likes.
            let taken = batch.len().min(777);
            sent.extend_from_slice(&batch[..taken]);
            queue.advance(taken);
        }
        assert_eq!(sent, expected);
    }
}
