//! Aggregate messages: several in one (RTMP 1.0 §7.1.6).

use std::fmt;

use bytes::{Buf, Bytes};

use crate::message::{Message, kind};

/// What is left of an aggregate. Its messages are read out one at a time.
pub(crate) struct Aggregate {
    rest: Bytes,
    timestamp: u32,
    stream_id: u32,
    /// The first sub-message's timestamp: the others count from it, it stands for the aggregate's.
    first: Option<u32>,
}

impl fmt::Debug for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aggregate({} bytes)", self.rest.len())
    }
}

impl Aggregate {
    pub(crate) fn new(message: Message) -> Self {
        Self {
            rest: message.payload,
            timestamp: message.timestamp,
            stream_id: message.stream_id,
            first: None,
        }
    }

    /// The next message; `None` at the end, and at the first that is cut off or an aggregate itself.
    pub(crate) fn next_message(&mut self) -> Option<Message> {
        let kind = self.rest.try_get_u8().ok()?;
        let length = usize::try_from(self.rest.try_get_uint(3).ok()?).ok()?;
        let low = u32::try_from(self.rest.try_get_uint(3).ok()?).ok()?;
        let high = self.rest.try_get_u8().ok()?;
        let timestamp = (u32::from(high) << 24) | low;
        self.rest.try_get_uint(3).ok()?;
        if length > self.rest.len() || kind == kind::AGGREGATE {
            self.rest.clear();
            return None;
        }
        // In memory of its own: as a slice, a few bytes in somebody's replay would keep megabytes alive, uncounted.
        let payload = Bytes::copy_from_slice(self.rest.get(..length)?);
        self.rest.advance(length);
        // The last back pointer is left out by some.
        self.rest.advance(self.rest.len().min(4));
        let first = *self.first.get_or_insert(timestamp);
        Some(Message {
            timestamp: self.timestamp.wrapping_add(timestamp.wrapping_sub(first)),
            kind,
            stream_id: self.stream_id,
            payload,
        })
    }
}
