//! A publisher's socket in which the kernel can be told to gather bytes, instead of waking us for each tag.

use caudal_rtmp::MAX_GATHERED;
use nix::libc;
use nix::sys::socket::SetSockOpt as _;
use nix::sys::socket::sockopt::SetUsize;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What a publisher is connected by.
pub(crate) trait Gathering {
    /// From now on it is readable once so many bytes wait, or the peer has closed. Also the kernel's own room for them grows to
    /// that; a window that is nearly full counts as enough.
    fn gather(&self, bytes: usize);
}

impl Gathering for TcpStream {
    fn gather(&self, bytes: usize) {
        if let Err(error) = LowWaterMark.set(self, &bytes) {
            tracing::debug!(%error, "the low-water mark cannot be set");
        }
    }
}

/// TLS has records of its own, and its last bytes are worth nothing without those before them: only rests are passed on.
impl<IO: Gathering> Gathering for TlsStream<IO> {
    fn gather(&self, bytes: usize) {
        self.get_ref().0.gather(if bytes > MAX_GATHERED { bytes } else { 1 });
    }
}

#[derive(Clone, Copy, Debug)]
struct LowWaterMark;

nix::setsockopt_impl!(LowWaterMark, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize, SetUsize);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn gathered_bytes_are_read_at_once_when_the_mark_is_lowered_or_the_peer_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut read = [0; 16];
        // tokio tries the first read of an accepted socket without waiting for it to be readable.
        peer.write_all(b"hello").await.unwrap();
        assert_eq!(timeout(SOON, socket.read(&mut read)).await.unwrap().unwrap(), 5);

        socket.gather(1000);
        peer.write_all(b"sound").await.unwrap();
        timeout(Duration::from_millis(200), socket.read(&mut read)).await.unwrap_err();
        socket.gather(1);
        assert_eq!(timeout(SOON, socket.read(&mut read)).await.unwrap().unwrap(), 5);

        socket.gather(1000);
        peer.write_all(b"bye").await.unwrap();
        drop(peer);
        assert_eq!(timeout(SOON, socket.read(&mut read)).await.unwrap().unwrap(), 3);
        assert_eq!(timeout(SOON, socket.read(&mut read)).await.unwrap().unwrap(), 0);
    }

    const SOON: Duration = Duration::from_secs(5);
}
