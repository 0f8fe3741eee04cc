//! One RTMP message, whole.

use std::fmt;

use bytes::Bytes;

/// A message as the chunk layer hands it up.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Milliseconds, modulo 2^32.
    pub(crate) timestamp: u32,
    /// One of [`kind`], or something unknown.
    pub(crate) kind: u8,
    /// The message stream that `createStream` gave out; 0 for the connection.
    pub(crate) stream_id: u32,
    /// The message without its header.
    pub(crate) payload: Bytes,
}

/// Without the payload, which may hold a key.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timestamp, kind, stream_id, payload } = self;
        f.debug_struct("Message")
            .field("timestamp", timestamp)
            .field("kind", kind)
            .field("stream_id", stream_id)
            .field("bytes", &payload.len())
            .finish()
    }
}

/// Message type ids (RTMP 1.0 §5.4, §6.1, §7.1).
pub(crate) mod kind {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ABORT: u8 = 2;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_ACK_SIZE: u8 = 5;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA_AMF0: u8 = 18;
    pub(crate) const COMMAND_AMF0: u8 = 20;
    pub(crate) const AGGREGATE: u8 = 22;
}
