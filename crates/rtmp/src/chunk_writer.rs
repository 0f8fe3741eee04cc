//! Messages in, chunks out.

use bytes::{BufMut, Bytes};

use crate::message::Message;
use crate::send_queue::SendQueue;

/// Cuts messages into chunks.
///
/// Each message begins with a full header. Compressed headers would save eight bytes of a frame and
/// bring back everything that peers understand differently: deltas of a clock that steps back, type-3
/// chunks that begin a message, what a delta is relative to after an abort.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    chunk_size: u32,
}

impl ChunkWriter {
    /// With the size that every connection begins with.
    pub(crate) fn new() -> Self {
        Self { chunk_size: 128 }
    }

    /// The size from the next message on; the peer must have been told by the one before.
    pub(crate) fn set_chunk_size(&mut self, size: u32) {
        self.chunk_size = size.max(1);
    }

    /// Queues `message` on a chunk stream (2 to 63). Payloads are queued as they are, without a copy,
    /// unless they are small. The caller keeps them below 16 MiB.
    pub(crate) fn write(&self, chunk_stream: u8, message: &Message, queue: &mut SendQueue) {
        let basic = chunk_stream & 0x3F;
        let extended = (message.timestamp >= EXTENDED).then_some(message.timestamp);
        let mut rest: Bytes = message.payload.clone();
        let chunk_size = usize::try_from(self.chunk_size).unwrap_or(usize::MAX);

        let header = queue.buffer();
        header.put_u8(basic);
        header.put_uint(u64::from(message.timestamp.min(EXTENDED)), 3);
        header.put_uint(u64::try_from(rest.len()).unwrap_or(u64::MAX), 3);
        header.put_u8(message.kind);
        header.put_u32_le(message.stream_id);
        if let Some(timestamp) = extended {
            header.put_u32(timestamp);
        }
        loop {
            queue.push(rest.split_to(rest.len().min(chunk_size)));
            if rest.is_empty() {
                return;
            }
            let header = queue.buffer();
            header.put_u8(0xC0 | basic);
            if let Some(timestamp) = extended {
                header.put_u32(timestamp);
            }
        }
    }
}

const EXTENDED: u32 = 0x00FF_FFFF;
