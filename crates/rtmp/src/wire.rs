//! A socket with its read buffer, driven in both directions at once.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use crate::limits::LINGER;

/// What [`Wire::poll`] came to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Bytes arrived in `input`.
    Read,
    /// Everything given was sent.
    Sent,
    /// The peer will send nothing more.
    Eof,
    /// The connection broke.
    Broken(io::ErrorKind),
}

/// Whether [`Wire::poll`] returns as soon as everything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Read,
    Sent,
}

/// How much is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appetite {
    /// What strangers get: 10,000 of them cost 40 MB.
    Small,
    /// A frame and more.
    Large,
}

impl Appetite {
    fn bytes(self) -> usize {
        match self {
            Self::Small => 4 * 1024,
            Self::Large => 64 * 1024,
        }
    }
}

pub(crate) struct Wire<IO> {
    io: IO,
    pub(crate) input: BytesMut,
    write_error: Option<io::ErrorKind>,
    unflushed: bool,
}

/// Without what has been read, which may hold a key.
impl<IO: fmt::Debug> fmt::Debug for Wire<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { io, input, write_error, unflushed } = self;
        f.debug_struct("Wire")
            .field("io", io)
            .field("input", &input.len())
            .field("write_error", write_error)
            .field("unflushed", unflushed)
            .finish()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Wire<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self { io, input: BytesMut::new(), write_error: None, unflushed: false }
    }

    /// Writes what can be written and reads what can be read. Nothing is lost when it is dropped while
    /// pending.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut impl Buf,
        appetite: Appetite,
        until: Until,
    ) -> Poll<Progress> {
        self.poll_send(cx, output);
        // Reading goes first where both are possible: a peer that said goodbye and closed is known by
        // what it said, not by our failure to answer.
        if self.input.len() < appetite.bytes() {
            // Messages are copied out of the buffer, so that it is used again instead of made anew.
            if self.input.capacity() - self.input.len() < appetite.bytes() / 4 {
                self.input.reserve(appetite.bytes());
            }
            match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Progress::Eof),
                Poll::Ready(Ok(_)) => return Poll::Ready(Progress::Read),
                Poll::Ready(Err(error)) => return Poll::Ready(Progress::Broken(error.kind())),
                Poll::Pending => {}
            }
        }
        match self.write_error {
            Some(error) => Poll::Ready(Progress::Broken(error)),
            None if until == Until::Sent && !output.has_remaining() && !self.unflushed => {
                Poll::Ready(Progress::Sent)
            }
            None => Poll::Pending,
        }
    }

    /// Sends what is left, says that nothing more comes, and gives the peer time to read it and to close
    /// first. With nothing left to say there is nothing to wait for.
    pub(crate) async fn finish(&mut self, output: &mut impl Buf) {
        if !output.has_remaining() && !self.unflushed {
            return;
        }
        let farewell = async {
            poll_fn(|cx| self.poll_sent(cx, output)).await;
            if self.io.shutdown().await.is_err() {
                return;
            }
            loop {
                self.input.clear();
                let progress = poll_fn(|cx| self.poll(cx, &mut &[][..], Appetite::Small, Until::Read));
                if !matches!(progress.await, Progress::Read) {
                    return;
                }
            }
        };
        // Whoever does not take it in time does without.
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }

    /// Resolves when `output` is sent, or cannot be.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>, output: &mut impl Buf) -> Poll<()> {
        self.poll_send(cx, output);
        let sent = !output.has_remaining() && !self.unflushed;
        if sent || self.write_error.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, output: &mut impl Buf) {
        while output.has_remaining() && self.write_error.is_none() {
            match poll_write_buf(Pin::new(&mut self.io), cx, output) {
                Poll::Ready(Ok(0)) => self.write_error = Some(io::ErrorKind::WriteZero),
                Poll::Ready(Ok(_)) => self.unflushed = true,
                Poll::Ready(Err(error)) => self.write_error = Some(error.kind()),
                Poll::Pending => return,
            }
        }
        if self.unflushed && self.write_error.is_none() {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => self.write_error = Some(error.kind()),
                Poll::Pending => {}
            }
        }
    }
}
