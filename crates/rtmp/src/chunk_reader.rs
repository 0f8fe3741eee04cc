//! Chunks in, whole messages out (RTMP 1.0 §5.3), within bounds whatever the peer sends.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::{MAX_CHUNK_SIZE, MAX_CHUNK_STREAMS, MAX_MESSAGE_BEFORE_PUBLISH, UNFINISHED_MESSAGES};
use crate::message::{Message, kind};

/// Puts a peer's chunks together, one buffer for each chunk stream.
///
/// `SetChunkSize` and `Abort` belong to this layer and are carried out here.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    chunk_size: usize,
    max_message: usize,
    /// Declared sizes of all unfinished messages.
    unfinished: usize,
    streams: Vec<ChunkStream>,
    open_chunk: Option<OpenChunk>,
}

/// Why a peer's bytes are not chunks that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A message declares more bytes than allowed at this stage.
    #[error("a message of {length} bytes is over the limit of {limit}")]
    MessageTooLong {
        /// The declared length.
        length: usize,
        /// What was allowed.
        limit: usize,
    },
    /// Unfinished messages declare more bytes together than allowed.
    #[error("unfinished messages of {declared} bytes are over the limit of {limit}")]
    TooMuchUnfinished {
        /// Their declared lengths.
        declared: usize,
        /// What was allowed.
        limit: usize,
    },
    /// One chunk stream too many.
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams")]
    TooManyChunkStreams,
    /// A chunk refers to a header that was never sent.
    #[error("chunk stream {0} begins with a compressed header")]
    NoPreviousChunk(u32),
    /// `SetChunkSize` with zero, or with its highest bit set.
    #[error("chunk size {0:#x} is not allowed")]
    BadChunkSize(u32),
    /// A control message of the chunk layer is shorter than its field.
    #[error("control message {0} is too short")]
    ShortControl(u8),
}

struct ChunkStream {
    id: u32,
    header: Header,
    partial: Option<BytesMut>,
}

/// What has arrived may be a command with a key in it.
impl fmt::Debug for ChunkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, header, partial } = self;
        let partial = partial.as_ref().map(BytesMut::len);
        f.debug_struct("ChunkStream")
            .field("id", id)
            .field("header", header)
            .field("partial", &partial)
            .finish()
    }
}

#[derive(Debug, Clone, Copy)]
struct Header {
    timestamp: u32,
    /// What the timestamp field said: the delta, or the timestamp itself after a full header. A
    /// type-3 chunk that begins a message adds it again (§5.3.1.2.4; ffmpeg relies on both).
    field: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream_id: u32,
}

/// The chunk whose payload is being read.
#[derive(Debug, Clone, Copy)]
struct OpenChunk {
    stream: usize,
    remaining: usize,
}

/// A chunk's header, read and not yet acted on.
struct ParsedHeader {
    id: u32,
    /// Its place in `streams`, if it is known there.
    known: Option<usize>,
    header: Header,
    continues: bool,
    bytes: usize,
}

impl ChunkReader {
    /// With the bounds for a peer that has not been accepted yet.
    pub(crate) fn new() -> Self {
        Self {
            chunk_size: INITIAL_CHUNK_SIZE,
            max_message: MAX_MESSAGE_BEFORE_PUBLISH,
            unfinished: 0,
            streams: Vec::new(),
            open_chunk: None,
        }
    }

    /// The largest message, in bytes, among those that begin from now on.
    pub(crate) fn set_max_message(&mut self, bytes: usize) {
        self.max_message = bytes;
    }

    /// Takes bytes from `input` until a message is whole; `None` when it needs more of them.
    ///
    /// At most a partial header stays behind in `input`.
    pub(crate) fn next_message(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        loop {
            let message = match self.open_chunk {
                Some(open) => {
                    if open.remaining > 0 && input.is_empty() {
                        return Ok(None);
                    }
                    self.read_payload(open, input)
                }
                None => match self.parse_header(input)? {
                    None => return Ok(None),
                    Some(parsed) => {
                        input.advance(parsed.bytes);
                        self.open(&parsed, input)?
                    }
                },
            };
            if let Some(message) = message
                && !self.carry_out(&message)?
            {
                return Ok(Some(message));
            }
        }
    }

    /// Bytes that this reader holds or has promised to hold.
    pub(crate) fn held(&self) -> usize {
        self.unfinished
    }

    fn parse_header(&self, input: &BytesMut) -> Result<Option<ParsedHeader>, ChunkError> {
        let mut cursor: &[u8] = input.as_ref();
        let Ok(first) = cursor.try_get_u8() else { return Ok(None) };
        let format = first >> 6;
        let id = match first & 0x3F {
            0 => match cursor.try_get_u8() {
                Ok(byte) => u32::from(byte) + 64,
                Err(_) => return Ok(None),
            },
            1 => match cursor.try_get_u16_le() {
                Ok(bytes) => u32::from(bytes) + 64,
                Err(_) => return Ok(None),
            },
            id => u32::from(id),
        };
        let known = self.streams.iter().position(|stream| stream.id == id);
        let stream = known.and_then(|index| self.streams.get(index));
        let previous = match stream {
            Some(stream) => stream.header,
            None if self.streams.len() >= MAX_CHUNK_STREAMS => return Err(ChunkError::TooManyChunkStreams),
            // Some librtmp builds open a chunk stream with a type-1 header; there is nothing in it that
            // only a previous header could tell, except the message stream (0 for control messages).
            None if format <= 1 => Header::UNSEEN,
            None => return Err(ChunkError::NoPreviousChunk(id)),
        };
        let continues = format == 3 && stream.is_some_and(|stream| stream.partial.is_some());

        let Some(header) = read_message_header(format, continues, previous, &mut cursor) else {
            return Ok(None);
        };
        if !continues && header.length > self.max_message {
            return Err(ChunkError::MessageTooLong { length: header.length, limit: self.max_message });
        }
        Ok(Some(ParsedHeader { id, known, header, continues, bytes: input.len() - cursor.len() }))
    }

    /// Acts on a header. A message that lies whole in `input` comes back at once.
    fn open(&mut self, parsed: &ParsedHeader, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        let index = if let Some(index) = parsed.known {
            index
        } else {
            self.streams.push(ChunkStream { id: parsed.id, header: parsed.header, partial: None });
            self.streams.len() - 1
        };
        let chunk_size = self.chunk_size;
        let Some(stream) = self.streams.get_mut(index) else { return Ok(None) };
        if parsed.continues {
            let done = stream.partial.as_ref().map_or(0, BytesMut::len);
            let remaining = parsed.header.length.saturating_sub(done).min(chunk_size);
            self.open_chunk = Some(OpenChunk { stream: index, remaining });
            return Ok(None);
        }
        // A header in the middle of a message begins another one: the unfinished one was given up.
        if stream.partial.take().is_some() {
            self.unfinished = self.unfinished.saturating_sub(stream.header.length);
        }
        stream.header = parsed.header;
        let length = parsed.header.length;
        // Also for what lies whole in the buffer: the bound must not depend on how bytes happened to arrive.
        let declared = self.unfinished.saturating_add(length);
        let limit = self.max_message.saturating_mul(UNFINISHED_MESSAGES);
        if declared > limit {
            return Err(ChunkError::TooMuchUnfinished { declared, limit });
        }
        if length <= chunk_size
            && let Some(whole) = input.get(..length)
        {
            // In memory of its own: a slice would keep the whole read buffer alive for as long as somebody's replay
            // holds the message, uncounted.
            let payload = Bytes::copy_from_slice(whole);
            input.advance(length);
            return Ok(Some(parsed.header.message(payload)));
        }
        self.unfinished = declared;
        stream.partial = Some(BytesMut::with_capacity(length));
        self.open_chunk = Some(OpenChunk { stream: index, remaining: length.min(chunk_size) });
        Ok(None)
    }

    fn read_payload(&mut self, open: OpenChunk, input: &mut BytesMut) -> Option<Message> {
        let taken = open.remaining.min(input.len());
        let remaining = open.remaining - taken;
        self.open_chunk = (remaining > 0).then_some(OpenChunk { remaining, ..open });
        let stream = self.streams.get_mut(open.stream)?;
        let partial = stream.partial.as_mut()?;
        partial.extend_from_slice(input.get(..taken)?);
        input.advance(taken);
        if remaining > 0 || partial.len() < stream.header.length {
            return None;
        }
        let whole = stream.partial.take()?;
        self.unfinished = self.unfinished.saturating_sub(stream.header.length);
        Some(stream.header.message(whole.freeze()))
    }

    /// Carries out a message of the chunk layer; `false` if it is none.
    fn carry_out(&mut self, message: &Message) -> Result<bool, ChunkError> {
        let mut payload = message.payload.as_ref();
        match message.kind {
            kind::SET_CHUNK_SIZE => {
                let size = payload.try_get_u32().map_err(|_| ChunkError::ShortControl(message.kind))?;
                if size == 0 || size > i32::MAX.unsigned_abs() {
                    return Err(ChunkError::BadChunkSize(size));
                }
                self.chunk_size = usize::try_from(size.min(MAX_CHUNK_SIZE)).unwrap_or(INITIAL_CHUNK_SIZE);
                Ok(true)
            }
            kind::ABORT => {
                let id = payload.try_get_u32().map_err(|_| ChunkError::ShortControl(message.kind))?;
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id)
                    && stream.partial.take().is_some()
                {
                    self.unfinished = self.unfinished.saturating_sub(stream.header.length);
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl Header {
    const UNSEEN: Self = Self { timestamp: 0, field: 0, extended: false, length: 0, kind: 0, stream_id: 0 };

    fn message(&self, payload: Bytes) -> Message {
        Message { timestamp: self.timestamp, kind: self.kind, stream_id: self.stream_id, payload }
    }
}

/// The rest of a header behind its basic part; `None` when `cursor` ends before it does.
fn read_message_header(format: u8, continues: bool, previous: Header, cursor: &mut &[u8]) -> Option<Header> {
    let mut header = previous;
    if format <= 2 {
        let field = read_u24(cursor)?;
        if format <= 1 {
            header.length = usize::try_from(read_u24(cursor)?).ok()?;
            header.kind = cursor.try_get_u8().ok()?;
        }
        if format == 0 {
            header.stream_id = cursor.try_get_u32_le().ok()?;
        }
        header.extended = field == EXTENDED;
        header.field = if header.extended { cursor.try_get_u32().ok()? } else { field };
        header.timestamp =
            if format == 0 { header.field } else { previous.timestamp.wrapping_add(header.field) };
    } else {
        if previous.extended {
            skip_repeated_timestamp(previous, cursor)?;
        }
        if !continues {
            header.timestamp = previous.timestamp.wrapping_add(previous.field);
        }
    }
    Some(header)
}

/// Steps over the extended timestamp of a type-3 chunk, if there is one; `None` if that cannot be told
/// yet.
///
/// The specification wants it repeated (§5.3.1.3); older ffmpeg, OBS before 30.2 and some hardware leave
/// it out. As SRS does, we look: what equals the timestamp is the timestamp.
fn skip_repeated_timestamp(previous: Header, cursor: &mut &[u8]) -> Option<()> {
    let expected = [previous.field.to_be_bytes(), previous.timestamp.to_be_bytes()];
    let seen = cursor.get(..4).unwrap_or(cursor);
    if expected.iter().any(|bytes| bytes.starts_with(seen)) {
        *cursor = cursor.get(4..)?;
    }
    Some(())
}

fn read_u24(cursor: &mut &[u8]) -> Option<u32> {
    cursor.try_get_uint(3).ok().and_then(|value| u32::try_from(value).ok())
}

/// RTMP 1.0 §5.4.1: until `SetChunkSize`.
const INITIAL_CHUNK_SIZE: usize = 128;

/// A timestamp field that says that the real one follows in 32 bits.
const EXTENDED: u32 = 0x00FF_FFFF;

#[cfg(test)]
mod tests;
