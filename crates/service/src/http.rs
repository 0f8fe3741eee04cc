//! An HTTP listener that no client can hold open: header, handshake and idle deadlines, a cap on connections,
//! `TCP_NODELAY`, HTTP/1.1 and h2c (or TLS with h2), and a drain that ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// How patient a listener is.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Open connections; further ones wait in the kernel's backlog.
    pub connections: usize,
    /// From the first byte of a request to the end of its headers, and between requests.
    pub header_deadline: Duration,
    /// For a TLS handshake.
    pub handshake_deadline: Duration,
    /// How long open requests may go on after shutdown began.
    pub drain: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 8192,
            header_deadline: Duration::from_secs(20),
            handshake_deadline: Duration::from_secs(5),
            drain: Duration::from_secs(3),
        }
    }
}

/// A bound listener, ready to serve.
pub struct HttpServer {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: HttpLimits,
}

impl HttpServer {
    /// Plain HTTP on a listener that the caller bound.
    pub fn new(listener: TcpListener, limits: HttpLimits) -> Self {
        Self { listener, tls: None, limits }
    }

    /// The same under TLS; offers h2 and HTTP/1.1.
    #[must_use]
    pub fn with_tls(mut self, mut config: rustls::ServerConfig) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        self.tls = Some(Arc::new(config));
        self
    }

    /// Serves until `shutdown`, then drains. Handlers find the peer's address as
    /// `axum::extract::ConnectInfo<SocketAddr>`.
    ///
    /// # Errors
    /// Only when the listener itself fails for good; a failing connection is its own affair.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> io::Result<()> {
        let Self { listener, tls, limits } = self;
        let acceptor = tls.map(TlsAcceptor::from);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let connections = TaskTracker::new();
        loop {
            let slot = tokio::select! {
                () = shutdown.cancelled() => break,
                slot = Arc::clone(&slots).acquire_owned() => slot.map_err(io::Error::other)?,
            };
            let (stream, peer) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        pause_after_accept_error(&error).await;
                        continue;
                    }
                },
            };
            let router = router.clone();
            let acceptor = acceptor.clone();
            let limits = limits.clone();
            let shutdown = shutdown.clone();
            connections.spawn(async move {
                let _slot = slot;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                match acceptor {
                    None => serve_connection(stream, peer, router, &limits, &shutdown).await,
                    Some(acceptor) => match timeout(limits.handshake_deadline, acceptor.accept(stream)).await
                    {
                        Ok(Ok(stream)) => {
                            serve_connection::<tokio_rustls::server::TlsStream<TcpStream>>(
                                stream, peer, router, &limits, &shutdown,
                            )
                            .await;
                        }
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    },
                }
            });
        }
        drop(listener);
        connections.close();
        if timeout(limits.drain, connections.wait()).await.is_err() {
            tracing::debug!(open = connections.len(), "connections left at the end of the drain");
        }
        Ok(())
    }
}

async fn serve_connection<I>(
    io: I,
    peer: SocketAddr,
    router: Router,
    limits: &HttpLimits,
    shutdown: &CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_deadline)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(limits.header_deadline)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST);
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(io), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match timeout(limits.drain, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%peer, %error, "connection ended");
    }
}

/// Out of file descriptors is the usual reason, and trying at once would spin.
async fn pause_after_accept_error(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Request line and headers of HTTP/1.1; playlists' queries and tokens stay well below.
const MAX_HEAD: usize = 16 * 1024;
/// The same for HTTP/2.
const MAX_HEADER_LIST: u32 = 16 * 1024;
/// A player with every rendition's playlist and parts outstanding stays below 20.
const MAX_STREAMS: u32 = 128;
/// How often a silent HTTP/2 peer is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;

    async fn start(
        limits: HttpLimits,
        router: Router,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(HttpServer::new(listener, limits).serve(router, shutdown.clone()));
        (address, shutdown, serving)
    }

    async fn everything(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_headers_is_disconnected() {
        let limits = HttpLimits { header_deadline: Duration::from_millis(50), ..HttpLimits::default() };
        let (address, shutdown, serving) =
            start(limits, Router::new().route("/", get(|| async { "hello" }))).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
        assert!(!everything(slow).await.contains("200"));
        shutdown.cancel();
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_before_the_listener_is_gone() {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
            move || async move {
                entered.notify_one();
                release.notified().await;
                "at last"
            }
        };
        let (address, shutdown, serving) =
            start(HttpLimits::default(), Router::new().route("/", get(handler))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        entered.notified().await;
        shutdown.cancel();
        release.notify_one();
        assert!(everything(stream).await.ends_with("at last"));
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_drain_ends_even_when_a_request_does_not() {
        let entered = Arc::new(Notify::new());
        let handler = {
            let entered = Arc::clone(&entered);
            move || async move {
                entered.notify_one();
                std::future::pending::<&str>().await
            }
        };
        let limits = HttpLimits { drain: Duration::from_millis(50), ..HttpLimits::default() };
        let (address, shutdown, serving) = start(limits, Router::new().route("/", get(handler))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        entered.notified().await;
        shutdown.cancel();
        serving.await.unwrap().unwrap();
        assert_eq!(everything(stream).await, "");
    }

    #[tokio::test]
    async fn http_2_without_tls_is_spoken_too() {
        let (address, shutdown, serving) = start(HttpLimits::default(), Router::new()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut head = [0_u8; 9];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4, "the server's SETTINGS frame");
        drop(stream);
        shutdown.cancel();
        serving.await.unwrap().unwrap();
    }
}
