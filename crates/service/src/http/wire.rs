//! What passes through a connection tells its [`Conduct`]: the socket, and the bodies of requests and answers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::conduct::{Conduct, RequestId};
use super::places::{Place, lock};

/// A socket. It keeps the connection's place, also after an upgrade to a WebSocket, which has deadlines of its own.
pub(super) struct Wire<I> {
    io: I,
    conduct: Arc<Mutex<Conduct>>,
    _place: Arc<Place>,
}

impl<I> Wire<I> {
    pub(super) fn new(io: I, conduct: Arc<Mutex<Conduct>>, place: Arc<Place>) -> Self {
        Self { io, conduct, _place: place }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => lock(&self.conduct).wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => lock(&self.conduct).block(Instant::now()),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, data);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Both HTTP versions and TLS flush only when they have handed over all that they had.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_ready() {
            lock(&self.conduct).unblock(Instant::now());
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A request until its answer is handed over or dropped.
pub(super) struct OpenRequest {
    conduct: Arc<Mutex<Conduct>>,
    id: RequestId,
}

impl OpenRequest {
    pub(super) fn begin(conduct: &Arc<Mutex<Conduct>>) -> Self {
        let id = lock(conduct).begin();
        Self { conduct: Arc::clone(conduct), id }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        lock(&self.conduct).end(self.id, Instant::now());
    }
}

/// The body of an answer. Under HTTP/2 it gives [`SLICE`] bytes at a time: a whole segment at once would be queued
/// behind a window that never opens, and count as sent.
pub(super) struct AnswerBody {
    body: Body,
    rest: Bytes,
    slice: usize,
    open: OpenRequest,
}

impl AnswerBody {
    pub(super) fn new(body: Body, version: hyper::Version, open: OpenRequest) -> Self {
        lock(&open.conduct).offer(open.id, 0, Instant::now());
        let slice = if version == hyper::Version::HTTP_2 { SLICE } else { usize::MAX };
        Self { body, rest: Bytes::new(), slice, open }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    lock(&self.open.conduct).wait_for_us(self.open.id);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended @ Poll::Ready(_) => return ended,
            }
        }
        let length = self.rest.len().min(self.slice);
        lock(&self.open.conduct).offer(self.open.id, length, Instant::now());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), u64::try_from(self.rest.len()).unwrap_or(u64::MAX));
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

/// The body of a request, which must be whole in time.
pub(super) struct AskBody {
    body: Incoming,
    patience: Duration,
    /// Set when a handler first waits for the body.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// Why a body was not read to its end.
#[derive(Debug, Error)]
pub(super) enum AskBodyError {
    #[error("the request's body did not come in time")]
    Late,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl AskBody {
    pub(super) fn new(body: Incoming, patience: Duration) -> Self {
        Self { body, patience, deadline: None }
    }
}

impl HttpBody for AskBody {
    type Data = Bytes;
    type Error = AskBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AskBodyError>>> {
        let this = &mut *self;
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(AskBodyError::Late)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(AskBodyError::Broken)));
        }
        if this.deadline.is_none() {
            let mut deadline = Box::pin(sleep(this.patience));
            // A new timer tells nobody before it has been polled.
            if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err(AskBodyError::Late)));
            }
            this.deadline = Some(deadline);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// As much as a file is read at once, and no more than the least that a peer may take in time.
const SLICE: usize = 64 * 1024;
