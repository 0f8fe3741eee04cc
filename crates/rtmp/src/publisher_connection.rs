//! A publisher's connection over any byte stream: the tokio shell of [`ServerSession`].

use std::future::poll_fn;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::limits::{LINGER, Limits};
use crate::refusal::Refusal;
use crate::server_session::{Event, LossReason, PublisherEvent, ServerSession};
use crate::session_error::SessionError;
use crate::stream_request::PublishRequested;
use crate::wire::{Appetite, Progress, Until, Wire};

/// Where a publisher's connection begins.
#[derive(Debug)]
pub struct PublisherConnection;

impl PublisherConnection {
    /// Takes a TCP connection; [`accept`](Self::accept) does the same for what TLS made of one.
    pub async fn accept_tcp(
        socket: TcpStream,
        limits: Limits,
    ) -> Result<PublishRequest<TcpStream>, SessionError> {
        socket.set_nodelay(true)?;
        Self::accept(socket, limits).await
    }

    /// Shakes hands and listens until the peer asks to publish. All deadlines for that are in `limits`;
    /// the future may be dropped at any time, which closes the connection.
    pub async fn accept<IO>(io: IO, limits: Limits) -> Result<PublishRequest<IO>, SessionError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let session = ServerSession::new(now(), limits);
        let mut connection = Connection { wire: Wire::new(io), session, appetite: Appetite::Small };
        match connection.next_event().await {
            Event::PublishRequested(details) => Ok(PublishRequest { connection, details }),
            Event::Failed(error) => {
                connection.finish().await;
                Err(error)
            }
            // Nothing was accepted.
            Event::Publisher(_) => Err(SessionError::Closed),
        }
    }
}

/// A peer that asked to publish and waits for an answer. Dropped, it is disconnected without one, and OBS
/// blames the network.
#[derive(Debug)]
pub struct PublishRequest<IO> {
    connection: Connection<IO>,
    details: Box<PublishRequested>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> PublishRequest<IO> {
    /// What it asked for.
    pub fn details(&self) -> &PublishRequested {
        &self.details
    }

    /// Resolves when the peer has gone without waiting for its answer. May be dropped at any time.
    pub async fn closed(&mut self) {
        loop {
            let Connection { wire, session, appetite } = &mut self.connection;
            let progress = poll_fn(|cx| wire.poll(cx, session.output(), *appetite, Until::Read)).await;
            if matches!(progress, Progress::Eof | Progress::Broken(_)) {
                return;
            }
        }
    }

    /// Lets the publisher in, and sends `NetStream.Publish.Start`.
    pub async fn accept(mut self) -> PublisherStream<IO> {
        self.connection.session.accept_publish(now());
        self.connection.appetite = Appetite::Large;
        self.connection.send().await;
        PublisherStream { connection: self.connection }
    }

    /// Refuses the publisher so that it hears why: sends, closes our half, and waits a bounded time for
    /// the peer to close its own.
    pub async fn reject(mut self, refusal: Refusal, description: &str) {
        self.connection.session.reject_publish(refusal, description);
        self.connection.finish().await;
    }
}

/// An accepted publisher. Nothing is read ahead of [`next_event`](Self::next_event): a consumer that does not
/// ask holds the publisher back by TCP.
#[derive(Debug)]
pub struct PublisherStream<IO> {
    connection: Connection<IO>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> PublisherStream<IO> {
    /// What the publisher does next; `None` after [`PublisherEvent::Lost`]. May be dropped at any time
    /// without losing anything.
    pub async fn next_event(&mut self) -> Option<PublisherEvent> {
        if self.connection.session.is_closed() {
            return None;
        }
        match self.connection.next_event().await {
            Event::Publisher(event) => Some(event),
            Event::Failed(error) => {
                Some(PublisherEvent::Lost { explicit: false, reason: LossReason::Failed(error) })
            }
            Event::PublishRequested(_) => None,
        }
    }

    /// Tells a router that media before this timestamp may wait for what comes at or behind it;
    /// [`next_event`](Self::next_event) sends it.
    pub fn awaits(&mut self, timestamp_ms: u32) {
        self.connection.session.awaits(timestamp_ms);
    }

    /// Asks the publisher to come back on another connection; [`next_event`](Self::next_event) sends it, and says when the
    /// publisher has left this one. Only for one that [can](crate::EnhancedCapabilities::can_reconnect).
    pub fn ask_to_reconnect(&mut self, description: &str) {
        self.connection.session.ask_to_reconnect(description);
    }

    /// Ends the publisher and tells it why, as [`PublishRequest::reject`].
    pub async fn drop_publisher(mut self, refusal: Refusal, description: &str) {
        self.connection.session.drop_publisher(refusal, description);
        self.connection.finish().await;
    }

    /// Sends what is left to be said after [`PublisherEvent::Lost`] and closes. Without it the publisher may not
    /// hear why it was dropped.
    pub async fn close(mut self) {
        self.connection.finish().await;
    }
}

#[derive(Debug)]
struct Connection<IO> {
    wire: Wire<IO>,
    session: ServerSession,
    appetite: Appetite,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Connection<IO> {
    async fn next_event(&mut self) -> Event {
        let Self { wire, session, appetite } = self;
        loop {
            if let Some(event) = session.receive(now(), &mut wire.input) {
                return event;
            }
            let deadline = session.next_deadline();
            let io = poll_fn(|cx| wire.poll(cx, session.output(), *appetite, Until::Read));
            // What has arrived wins over a deadline that has passed: the consumer may have been away.
            let progress = match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline.into(), io).await.ok(),
                None => Some(io.await),
            };
            let event = match progress {
                None => session.handle_timeout(now()),
                Some(Progress::Read | Progress::Sent) => None,
                Some(Progress::Eof) => session.handle_eof(),
                Some(Progress::Broken(error)) => session.handle_io_error(error),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Sends what is waiting. A broken connection, or a peer that does not read, shows at the next event.
    async fn send(&mut self) {
        let Self { wire, session, .. } = self;
        let sent = poll_fn(|cx| wire.poll_sent(cx, session.output()));
        let _ = tokio::time::timeout(LINGER, sent).await;
    }

    async fn finish(&mut self) {
        self.wire.finish(self.session.output()).await;
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
