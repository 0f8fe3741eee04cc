//! What ends a session that nobody asked to end.

use std::io;

use crate::amf::AmfError;
use crate::chunk_reader::ChunkError;

/// What was wrong with the peer, or its connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The first bytes are no RTMP handshake.
    #[error("the handshake is not RTMP's")]
    BadHandshake,
    /// The handshake took longer than allowed.
    #[error("the handshake was not finished in time")]
    HandshakeTimeout,
    /// No `publish` in time.
    #[error("nothing was published in time")]
    PublishTimeout,
    /// No media in time.
    #[error("no audio or video arrived in time")]
    NoMedia,
    /// Not a byte in time.
    #[error("the peer fell silent")]
    Idle,
    /// The chunk stream is broken or over its bounds.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command cannot be read.
    #[error("a command cannot be read: {0}")]
    Command(#[from] AmfError),
    /// A command lacks its name or a required argument, or comes in the wrong order.
    #[error("command {0} is incomplete or out of order")]
    UnexpectedCommand(&'static str),
    /// More commands than anyone needs to publish.
    #[error("too many commands before publish")]
    TooManyCommands,
    /// The peer wants to play.
    #[error("the peer wants to play; only publishers are served here")]
    NotAPublisher,
    /// More bits than allowed.
    #[error("bitrate is over the limit of {0} bit/s")]
    TooFast(u64),
    /// A codec that cannot be packaged.
    #[error("{0} is not supported; send H.264 or HEVC video and AAC audio")]
    UnsupportedCodec(String),
    /// The peer does not read what we answer.
    #[error("the peer does not read")]
    PeerDoesNotRead,
    /// The connection ended before anything was published.
    #[error("the connection was closed")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::ErrorKind),
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}
