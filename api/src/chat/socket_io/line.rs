//! The connection under a WebSocket of Socket.IO. Engine.IO itself waits for a peer that takes nothing, however long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// Fails once its peer is too slow, or it is cut.
pub(super) struct Line<I> {
    io: I,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Since the peer owes us to take what was written.
    owed: Option<Pin<Box<Sleep>>>,
    /// Bytes that it has taken since.
    taken: usize,
    _gone: DropGuard,
}

impl<I> Line<I> {
    /// Ends with `cut`; `gone` is cancelled when it is dropped.
    pub(super) fn new(io: I, cut: CancellationToken, gone: CancellationToken) -> Self {
        let cut = Box::pin(cut.cancelled_owned());
        Self { io, cut, owed: None, taken: 0, _gone: gone.drop_guard() }
    }

    fn check_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// What is pending must move on.
    fn hurry<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let owed = self.owed.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        match owed.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn settle(&mut self) {
        self.owed = None;
        self.taken = 0;
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Line<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_cut(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Line<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.check_cut(cx)?;
        match Pin::new(&mut self.io).poll_write(cx, data) {
            Poll::Ready(Ok(bytes)) => {
                self.taken = self.taken.saturating_add(bytes);
                if self.taken >= ENOUGH {
                    self.settle();
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.hurry(cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut(cx)?;
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.settle();
                Poll::Ready(flushed)
            }
            Poll::Pending => self.hurry(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut(cx)?;
        match Pin::new(&mut self.io).poll_shutdown(cx) {
            Poll::Ready(shut) => Poll::Ready(shut),
            Poll::Pending => self.hurry(cx),
        }
    }
}

/// For a peer to take all that was written, or [`ENOUGH`] of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes: 6 kB/s are less than anybody has who watches a video.
const ENOUGH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_now_and_then_is_given_up() {
        let (near, mut far) = tokio::io::duplex(1024);
        let gone = CancellationToken::new();
        let mut line = Line::new(near, CancellationToken::new(), gone.clone());
        let begun = Instant::now();
        let peer = tokio::spawn(async move {
            let mut byte = [0; 1];
            while far.read(&mut byte).await.is_ok_and(|bytes| bytes > 0) {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let error = line.write_all(&vec![0; 100_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 10);
        assert!(!gone.is_cancelled());
        drop(line);
        assert!(gone.is_cancelled());
        peer.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_keeps_up_is_left_alone_and_a_cut_is_the_end() {
        let (near, mut far) = tokio::io::duplex(1024);
        let cut = CancellationToken::new();
        let mut line = Line::new(near, cut.clone(), CancellationToken::new());
        let peer = tokio::spawn(async move {
            let mut some = [0; 1024];
            while far.read(&mut some).await.is_ok_and(|bytes| bytes > 0) {
                sleep(Duration::from_millis(50)).await;
            }
        });
        line.write_all(&vec![0; 1_000_000]).await.unwrap();
        line.flush().await.unwrap();
        let mut byte = [0; 1];
        let (heard, ()) = tokio::join!(line.read(&mut byte), async { cut.cancel() });
        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        drop(line);
        peer.await.unwrap();
    }
}
