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

impl SessionError {
    /// For the person at the encoder: what was wrong and what to do about it. Quotes nothing that the peer sent but
    /// four characters of a codec's name.
    pub fn told(&self) -> String {
        match self {
            Self::NoMedia => {
                "No audio or video arrived. Check the sources in your encoder, then start the stream again.".to_owned()
            }
            Self::TooFast(limit) => format!(
                "Your bitrate is over this server's limit of {} kb/s. Lower it in your encoder's output settings.",
                limit / 1000
            ),
            Self::UnsupportedCodec(name) => {
                format!("{name} is not supported. Choose H.264 or HEVC for video and AAC for audio in your encoder.")
            }
            Self::Chunk(ChunkError::MessageTooLong { .. }) => {
                "A single frame is larger than this server takes. Lower the resolution or the bitrate.".to_owned()
            }
            Self::NotAPublisher => {
                "This address only takes streams. Watch on the channel's page, or by its HLS address.".to_owned()
            }
            Self::UnexpectedCommand(_)
            | Self::Command(_)
            | Self::TooManyCommands
            | Self::BadHandshake
            | Self::Chunk(_) => {
                "Your encoder sent something that this server cannot read. Update the encoder, or try another one."
                    .to_owned()
            }
            Self::HandshakeTimeout
            | Self::PublishTimeout
            | Self::Idle
            | Self::PeerDoesNotRead
            | Self::Closed
            | Self::Io(_) => {
                "The connection is too slow or broke. Check your network, then start the stream again.".to_owned()
            }
        }
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_to_end_a_session_is_told_as_something_to_do() {
        let errors = [
            SessionError::BadHandshake,
            SessionError::HandshakeTimeout,
            SessionError::PublishTimeout,
            SessionError::NoMedia,
            SessionError::Idle,
            SessionError::Chunk(ChunkError::MessageTooLong { length: 9, limit: 8 }),
            SessionError::Chunk(ChunkError::TooManyChunkStreams),
            SessionError::Command(AmfError::TooDeep),
            SessionError::UnexpectedCommand("publish"),
            SessionError::TooManyCommands,
            SessionError::NotAPublisher,
            SessionError::TooFast(50_000_000),
            SessionError::UnsupportedCodec("av01".into()),
            SessionError::PeerDoesNotRead,
            SessionError::Closed,
            SessionError::Io(io::ErrorKind::BrokenPipe),
        ];
        let verbs = ["Check", "Lower", "Choose", "Watch", "Update"];
        for error in errors {
            let told = error.told();
            assert!(verbs.iter().any(|verb| told.contains(verb)), "{told}");
            assert!(told.ends_with('.') && told.len() < 200, "{told}");
        }
        assert!(SessionError::TooFast(50_000_000).told().contains("50000 kb/s"));
    }
}
