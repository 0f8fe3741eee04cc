//! One WebSocket, with deadlines for what its peer owes.

use std::sync::Arc;
use std::time::Duration;

use axum::Error;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Badge;

/// What a conversation has of its socket.
#[derive(Debug)]
pub struct Socket {
    inner: WebSocket,
    closing: CancellationToken,
    badge: Arc<Badge>,
    heard_at: Instant,
    pings: Interval,
    farewell: Option<(u16, &'static str)>,
}

/// The peer is gone, or takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side of the socket is gone")]
pub struct Gone;

impl Socket {
    pub(super) fn new(inner: WebSocket, closing: CancellationToken, badge: Badge) -> Self {
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { inner, closing, badge: Arc::new(badge), heard_at: Instant::now(), pings, farewell: None }
    }

    /// For whoever says who they are through this socket.
    pub fn badge(&self) -> Arc<Badge> {
        Arc::clone(&self.badge)
    }

    /// The next text or bytes. `None` when the conversation is to end: the peer closed, is gone or has been silent for
    /// a minute, though it was pinged; or the server stops, or whoever talks here was sent away, and the peer is told so
    /// once the conversation has ended.
    ///
    /// Must be polled all the time: it also keeps the connection alive. Nothing is lost when it is dropped before it is
    /// done.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return None,
                () = self.badge.sent_away() => return None,
                message = self.inner.recv() => match message {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => self.heard_at = Instant::now(),
                    Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                        self.heard_at = Instant::now();
                        return Some(message);
                    }
                    // A frame above the limit, or none of WebSocket's; where the connection broke nobody reads this.
                    Some(Err(_)) => {
                        self.farewell = Some((NOT_UNDERSTOOD, "a frame that is too large, or is none"));
                        return None;
                    }
                    Some(Ok(Message::Close(_))) | None => return None,
                },
                () = sleep_until(self.heard_at + SILENCE) => return None,
                _ = self.pings.tick() => self.send(Message::Ping(Bytes::new())).await.ok()?,
            }
        }
    }

    /// Sends a message, within ten seconds. Nothing more is sent to whoever was sent away.
    ///
    /// # Errors
    /// [`Gone`]; the conversation should end.
    pub async fn send(&mut self, message: Message) -> Result<(), Gone> {
        tokio::select! {
            biased;
            () = self.badge.sent_away() => Err(Gone),
            sent = deliver(&mut self.inner, message) => sent,
        }
    }

    /// What the peer is told when the conversation has ended: a code of 4000 to 4999, and why.
    pub fn part(&mut self, code: u16, reason: &'static str) {
        self.farewell = Some((code, reason));
    }

    /// Closes, saying why, and waits for the peer to have closed, so that it reads the word and not of a broken connection.
    pub(super) async fn finish(&mut self) {
        let (code, reason) = if self.closing.is_cancelled() {
            (close_code::AWAY, "the server is stopping")
        } else {
            self.badge.last_words().or(self.farewell).unwrap_or((close_code::NORMAL, ""))
        };
        // Does nothing where one side has closed already; reading on then sends what is still owed to the other.
        let _ =
            deliver(&mut self.inner, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
        let closed = async { while let Some(Ok(_)) = self.inner.recv().await {} };
        let _ = timeout(PATIENCE, closed).await;
    }
}

async fn deliver(inner: &mut WebSocket, message: Message) -> Result<(), Gone> {
    let sent: Result<(), Error> = timeout(PATIENCE, inner.send(message)).await.map_err(|_| Gone)?;
    sent.map_err(|_| Gone)
}

/// In docs/realtime.md.
pub(super) const NOT_UNDERSTOOD: u16 = 4400;
/// Proxies close connections on which nothing moves for a minute or less.
const PING_EVERY: Duration = Duration::from_secs(25);
/// Two pings without an answer.
const SILENCE: Duration = Duration::from_secs(60);
/// For a peer to take what it is sent, and to close.
const PATIENCE: Duration = Duration::from_secs(10);
