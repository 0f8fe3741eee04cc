//! Publishing to a server of ours: the tokio shell of [`ClientSession`].

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::client_session::{ClientEvent, ClientSession, RelayTarget};
use crate::limits::{IDLE_TIMEOUT, MAX_RELAY_QUEUE};
use crate::metadata::Metadata;
use crate::refusal::Refusal;
use crate::session_error::SessionError;
use crate::wire::{Appetite, Progress, Until, Wire};

/// Where a relay begins.
#[derive(Debug)]
pub struct RelayClient;

/// Why there is no relay, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The server said no.
    #[error("refused with {code}: {description}")]
    Refused {
        /// What `code` means, if it is a refusal to publish.
        refusal: Option<Refusal>,
        /// The code that was sent.
        code: String,
        /// Why, for people.
        description: String,
    },
    /// It did not say yes in time.
    #[error("no answer in time")]
    Timeout,
    /// It closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// It has sent nothing for [`IDLE_TIMEOUT`], though it pings twice in that time.
    #[error("the server fell silent")]
    Silent,
    /// The connection could not be made, or broke.
    #[error("the connection broke: {0}")]
    Io(io::ErrorKind),
    /// What it sends is not RTMP as we take it.
    #[error(transparent)]
    Protocol(SessionError),
    /// More is waiting to be sent than [`MAX_RELAY_QUEUE`]; this tag was not queued.
    #[error("too much is waiting to be sent")]
    QueueFull,
}

impl RelayClient {
    /// Dials and publishes; see [`connect`](Self::connect).
    pub async fn connect_tcp(
        address: SocketAddr,
        target: RelayTarget,
        deadline: Instant,
    ) -> Result<RelayPublisher<TcpStream>, RelayError> {
        let dialled = tokio::time::timeout_at(deadline, TcpStream::connect(address)).await;
        let socket = dialled.map_err(|_| RelayError::Timeout)??;
        socket.set_nodelay(true)?;
        Self::connect(socket, target, deadline).await
    }

    /// Publishes `target` over `io` and returns when the server has accepted it.
    pub async fn connect<IO>(
        io: IO,
        target: RelayTarget,
        deadline: Instant,
    ) -> Result<RelayPublisher<IO>, RelayError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let session = ClientSession::new(target).map_err(RelayError::Protocol)?;
        let mut relay = RelayPublisher {
            wire: Wire::new(io),
            session,
            last_byte: Instant::now(),
            awaited: None,
            words: 0,
        };
        let published = tokio::time::timeout_at(deadline, relay.drive(Until::Read)).await;
        published.map_err(|_| RelayError::Timeout)??;
        Ok(relay)
    }
}

/// A relay that the server has accepted.
///
/// `send_*` only queue. [`hear`](Self::hear), [`lost`](Self::lost) and [`flush`](Self::flush) send, everything that is queued with one
/// write where the socket takes it; one of them has to be polled for anything to move.
#[derive(Debug)]
pub struct RelayPublisher<IO> {
    wire: Wire<IO>,
    session: ClientSession,
    last_byte: Instant,
    awaited: Option<u32>,
    /// How often the server said so, since [`take_words`](Self::take_words) was last called.
    words: u64,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> RelayPublisher<IO> {
    /// Queues a video tag's body. The payload is not copied.
    pub fn send_video(&mut self, timestamp_ms: u32, tag: Bytes) -> Result<(), RelayError> {
        self.has_room()?;
        self.session.send_video(timestamp_ms, tag);
        Ok(())
    }

    /// Queues an audio tag's body.
    pub fn send_audio(&mut self, timestamp_ms: u32, tag: Bytes) -> Result<(), RelayError> {
        self.has_room()?;
        self.session.send_audio(timestamp_ms, tag);
        Ok(())
    }

    /// Queues metadata.
    pub fn send_metadata(&mut self, timestamp_ms: u32, metadata: &Metadata) -> Result<(), RelayError> {
        self.has_room()?;
        self.session.send_metadata(timestamp_ms, metadata);
        Ok(())
    }

    /// Bytes that wait to be sent: the measure of a worker that is too slow.
    pub fn queued_bytes(&mut self) -> usize {
        self.session.output().remaining()
    }

    /// From which timestamp on the server needs media, if it has said so lately. It is only ever heard while something is sent
    /// or waited for.
    pub fn awaited(&self) -> Option<u32> {
        self.awaited
    }

    /// What the server said it awaits no longer counts.
    pub fn forget_awaited(&mut self) {
        self.awaited = None;
    }

    /// How often the server has said what it awaits, since the last call.
    pub fn take_words(&mut self) -> u64 {
        std::mem::take(&mut self.words)
    }

    /// Sends what is queued, and hears meanwhile what the server says. May be dropped at any time without
    /// losing anything.
    pub async fn flush(&mut self) -> Result<(), RelayError> {
        self.drive(Until::Sent).await
    }

    /// Sends what is queued and resolves when the server says what it awaits. May be dropped at any time without
    /// losing anything.
    pub async fn hear(&mut self) -> Result<(), RelayError> {
        self.drive(Until::Read).await
    }

    /// Sends what is queued and resolves only when the relay is lost. May be dropped at any time without
    /// losing anything.
    pub async fn lost(&mut self) -> RelayError {
        loop {
            if let Err(error) = self.drive(Until::Read).await {
                return error;
            }
        }
    }

    /// Sends what is queued, then says that the publisher ended its stream, and closes; all that within
    /// [`LINGER`](crate::LINGER): what must arrive is flushed before. Dropping a relay instead ends it without
    /// that word.
    pub async fn unpublish(mut self) {
        self.session.unpublish();
        self.wire.finish(self.session.output()).await;
    }

    /// Sends what is queued, then says that the publisher goes on at another worker, and closes, as
    /// [`unpublish`](Self::unpublish) does.
    pub async fn hand_over(mut self) {
        self.session.hand_over();
        self.wire.finish(self.session.output()).await;
    }

    /// Until the next event of the session, or until everything is sent.
    async fn drive(&mut self, until: Until) -> Result<(), RelayError> {
        let Self { wire, session, last_byte, awaited, words } = self;
        loop {
            match session.receive(&mut wire.input) {
                None => {}
                Some(ClientEvent::Published) => return Ok(()),
                Some(ClientEvent::Refused { code, description }) => {
                    return Err(RelayError::Refused {
                        refusal: Refusal::from_code(&code),
                        code,
                        description,
                    });
                }
                Some(ClientEvent::Awaits(timestamp_ms)) => {
                    *awaited = Some(timestamp_ms);
                    *words = words.saturating_add(1);
                    if until == Until::Read {
                        return Ok(());
                    }
                    continue;
                }
                Some(ClientEvent::Failed(error)) => return Err(RelayError::Protocol(error)),
            }
            let io = poll_fn(|cx| wire.poll(cx, session.output(), Appetite::Small, until));
            match tokio::time::timeout_at(*last_byte + IDLE_TIMEOUT, io).await {
                Err(_) => return Err(RelayError::Silent),
                Ok(Progress::Read) => *last_byte = Instant::now(),
                Ok(Progress::Sent) => return Ok(()),
                Ok(Progress::Eof) => return Err(RelayError::Closed),
                Ok(Progress::Broken(error)) => return Err(RelayError::Io(error)),
            }
        }
    }

    fn has_room(&mut self) -> Result<(), RelayError> {
        if self.queued_bytes() > MAX_RELAY_QUEUE { Err(RelayError::QueueFull) } else { Ok(()) }
    }
}

impl From<io::Error> for RelayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}
