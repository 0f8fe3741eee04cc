//! An HTTP listener that no client can hold open: a deadline for everything that a peer owes, from its first request to
//! taking its last answer; places that silent strangers cannot fill; `TCP_NODELAY`, HTTP/1.1 and h2c (or TLS with h2),
//! and a drain that ends.

mod conduct;
mod places;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, Version, header};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use self::conduct::{Conduct, Overdue, Patience};
use self::places::{Bounds, Place, Places, lock};
use self::wire::{AnswerBody, AskBody, OpenRequest, Wire};
use crate::forwarded::TrustedProxies;

/// How patient a listener is, and with how many.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Open connections that have made a request. When there are as many, the one that has been idle for longest is
    /// closed for a newcomer; with none idle, one of an address that has far more than the newcomer's; with no such
    /// crowd the newcomer gets a 503.
    pub connections: usize,
    /// Open connections beside them that have not made a request yet. The oldest one of the address that has most is
    /// closed for a newcomer.
    pub strangers: usize,
    /// Of `connections`, how many may come from one address (an IPv4 address or an IPv6 /64). `None` for listeners that
    /// only Caudal's own parts can reach.
    pub per_address: Option<usize>,
    /// Proxies in front of the listener: `per_address` does not hold for them.
    pub trusted_proxies: TrustedProxies,
    /// For a TLS handshake.
    pub handshake_deadline: Duration,
    /// From the connection (or the end of its TLS handshake) to the first whole request head.
    pub first_request_deadline: Duration,
    /// From the end of an answer to the end of the next request head.
    pub header_deadline: Duration,
    /// For the body of a request, from when it is first waited for.
    pub body_deadline: Duration,
    /// For a peer that has been sent something to take all of it, or `least_taken`; and to take anything at all of what lies in
    /// the socket, while the answer waits for us. One that waits with nothing unsent has no deadline.
    pub read_deadline: Duration,
    /// Bytes of an answer that a peer has to take within `read_deadline`, again and again.
    pub least_taken: u64,
    /// How long open requests may go on after shutdown began.
    pub drain: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 8192,
            strangers: 1024,
            per_address: None,
            trusted_proxies: TrustedProxies::default(),
            handshake_deadline: Duration::from_secs(5),
            first_request_deadline: Duration::from_secs(5),
            header_deadline: Duration::from_secs(20),
            body_deadline: Duration::from_secs(20),
            read_deadline: Duration::from_secs(30),
            // 2 kB/s, a tenth of what sound alone needs.
            least_taken: 64 * 1024,
            drain: Duration::from_secs(3),
        }
    }
}

impl HttpLimits {
    /// For a listener that anybody can reach.
    pub fn public(trusted_proxies: TrustedProxies) -> Self {
        Self { per_address: Some(PUBLIC_PER_ADDRESS), trusted_proxies, ..Self::default() }
    }
}

/// A bound listener, ready to serve.
pub struct HttpServer {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: HttpLimits,
    leaving: CancellationToken,
}

impl HttpServer {
    /// Plain HTTP on a listener that the caller bound.
    pub fn new(listener: TcpListener, limits: HttpLimits) -> Self {
        Self { listener, tls: None, limits, leaving: CancellationToken::new() }
    }

    /// The same under TLS; offers h2 and HTTP/1.1.
    #[must_use]
    pub fn with_tls(mut self, mut config: rustls::ServerConfig) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        self.tls = Some(Arc::new(config));
        self
    }

    /// From when `leaving` is cancelled until the shutdown, each answer over HTTP/1.1 says that it is its connection's last. A client
    /// that asks now and then has another connection by the time of the shutdown; it could otherwise be about to use this one
    /// just when it is closed. HTTP/2 has a word for that, GOAWAY, which is said at the shutdown.
    #[must_use]
    pub fn until_leaving(mut self, leaving: CancellationToken) -> Self {
        self.leaving = leaving;
        self
    }

    /// Serves until `shutdown`, then drains. Handlers find the peer's address as
    /// `axum::extract::ConnectInfo<SocketAddr>`.
    ///
    /// # Errors
    /// Only when the listener itself fails for good; a failing connection is its own affair.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> io::Result<()> {
        let Self { listener, tls, limits, leaving } = self;
        let (drain, read_deadline) = (limits.drain, limits.read_deadline);
        let door = Door::new(router, limits, tls.map(TlsAcceptor::from), shutdown.clone());
        let door = Arc::new(Door { leaving, ..door });
        let connections = TaskTracker::new();
        loop {
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
            if let Err(error) = prepare(&stream, read_deadline) {
                tracing::debug!(%error, "a connection's socket options");
            }
            connections.spawn(Arc::clone(&door).admit(stream, peer));
        }
        drop(listener);
        connections.close();
        if timeout(drain, connections.wait()).await.is_err() {
            tracing::debug!(open = connections.len(), "connections left at the end of the drain");
        }
        Ok(())
    }
}

/// Answers go out at once. What the socket has room for counts as taken here, a part of an answer that then waits for us
/// for example: whether the peer takes that too in time is known to the kernel alone, which gives up one that is gone, or
/// whose window stays shut.
fn prepare(socket: &TcpStream, read_deadline: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    SockRef::from(socket).set_tcp_user_timeout(Some(read_deadline))
}

/// What all connections of a listener share.
pub(crate) struct Door {
    router: Router,
    limits: HttpLimits,
    tls: Option<TlsAcceptor>,
    places: Arc<Places>,
    leaving: CancellationToken,
    shutdown: CancellationToken,
}

/// One connection's share in the accounts of its listener.
struct Connection {
    peer: SocketAddr,
    conduct: Arc<Mutex<Conduct>>,
    place: Arc<Place>,
}

impl Door {
    pub(crate) fn new(
        router: Router,
        limits: HttpLimits,
        tls: Option<TlsAcceptor>,
        shutdown: CancellationToken,
    ) -> Self {
        let places = Places::new(Bounds {
            settled: limits.connections,
            strangers: limits.strangers,
            per_address: limits.per_address,
            trusted: limits.trusted_proxies.clone(),
        });
        Self { router, limits, tls, places, leaving: CancellationToken::new(), shutdown }
    }

    /// Takes a place for a connection at once, and serves it in the future that this returns.
    pub(crate) fn admit<I>(self: Arc<Self>, io: I, peer: SocketAddr) -> impl Future<Output = ()> + Send
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let patience = Patience {
            first_request: self.limits.first_request_deadline,
            next_request: self.limits.header_deadline,
            taking: self.limits.read_deadline,
            least_taken: self.limits.least_taken,
        };
        let conduct = Arc::new(Mutex::new(Conduct::new(patience, Instant::now())));
        let place = Arc::new(self.places.admit(peer.ip(), &conduct));
        let connection = Connection { peer, conduct, place };
        async move {
            let leave = connection.place.leave();
            tokio::select! {
                () = self.begin(io, connection) => {}
                () = leave.cancelled() => tracing::debug!(%peer, "closed for a newcomer"),
            }
        }
    }

    async fn begin<I>(&self, io: I, connection: Connection)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Connection { peer, ref conduct, ref place } = connection;
        let wire = Wire::new(io, Arc::clone(conduct), Arc::clone(place));
        let Some(acceptor) = &self.tls else { return self.serve(wire, connection).await };
        match timeout(self.limits.handshake_deadline, acceptor.accept(wire)).await {
            Ok(Ok(stream)) => {
                lock(conduct).handshake_done(Instant::now());
                self.serve(stream, connection).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
    }

    async fn serve<I>(&self, io: I, connection: Connection)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Connection { peer, conduct, place } = connection;
        let watched = Arc::clone(&conduct);
        let (router, body_deadline) = (self.router.clone(), self.limits.body_deadline);
        let leaving = self.leaving.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let open = OpenRequest::begin(&conduct);
            let answering = match place.settle() {
                Ok(()) => Ok(router.clone()),
                Err(full) => Err(full),
            };
            let leaving = leaving.clone();
            async move {
                let version = request.version();
                let mut request = request.map(|body| Body::new(AskBody::new(body, body_deadline)));
                request.extensions_mut().insert(ConnectInfo(peer));
                let mut response = match answering {
                    Ok(router) => router.oneshot(request).await?,
                    Err(places::Full) => no_place(),
                };
                if leaving.is_cancelled() && says_when_it_closes(version, response.status()) {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| AnswerBody::new(body, version, open)))
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // hyper's own timer for request heads runs on while an answer drains to a slow reader; `Conduct` has one that
        // does not.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(self.limits.header_deadline)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_send_buf_size(MAX_SEND_BUFFER);
        let serving = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            overdue = until_overdue(&watched) => {
                tracing::debug!(%peer, ?overdue, "connection closed");
                if overdue != Overdue::Idle {
                    return;
                }
                // A GOAWAY tells an HTTP/2 peer that a request on its way was not seen.
                serving.as_mut().graceful_shutdown();
                match timeout(self.limits.drain, serving.as_mut()).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
            () = self.shutdown.cancelled() => {
                serving.as_mut().graceful_shutdown();
                match timeout(self.limits.drain, serving.as_mut()).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%peer, %error, "connection ended");
        }
    }
}

/// Whether this answer can say that its connection is closed behind it.
fn says_when_it_closes(version: Version, status: StatusCode) -> bool {
    version <= Version::HTTP_11 && status != StatusCode::SWITCHING_PROTOCOLS
}

async fn until_overdue(conduct: &Mutex<Conduct>) -> Overdue {
    loop {
        let look = match lock(conduct).check(Instant::now()) {
            Ok(look) => look,
            Err(overdue) => return overdue,
        };
        sleep_until(look).await;
    }
}

fn no_place() -> Response {
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("close")),
        (header::RETRY_AFTER, HeaderValue::from_static("1")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, "too many connections\n").into_response()
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
/// Of answers that HTTP/2 has taken from us and the peer has not: what is queued counts as handed over.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// How often a silent HTTP/2 peer is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A quarter of all. A school behind one address watches with one connection a player over HTTP/2, and up to six
/// without TLS.
const PUBLIC_PER_ADDRESS: usize = 2048;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
