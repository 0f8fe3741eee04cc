//! Where publishers come in: listeners, limits, and the way of one connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::StreamDirectory;
use caudal_livestream::SessionId;
use caudal_livestream::admission::StreamKey;
use caudal_livestream::proof::RoleKey;
use caudal_rtmp::{ConnectionLimiter, PeerAddress, PublishRequest, PublisherConnection, Refusal};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Admitted, Applicant, NotAdmitted};
use crate::config::{Addresses, Limits};
use crate::link::Link;
use crate::metrics::{Counted, Metrics, RefusalReason};
use crate::replay::ReplayLimits;
use crate::session::Session;
use crate::sessions::Sessions;

/// Lets publishers in, on any number of listeners.
pub(crate) struct Door {
    admission: Admission,
    directory: Arc<dyn StreamDirectory>,
    sessions: Sessions,
    input_key: RoleKey,
    metrics: Metrics,
    limits: Limits,
    connections: Arc<Semaphore>,
    publishers: Arc<Semaphore>,
    by_address: ConnectionLimiter,
    /// Every connection's task.
    tasks: TaskTracker,
    shutdown: CancellationToken,
    /// Cancelled when the drain is over: what is still there then is let go of.
    abandon: CancellationToken,
}

impl Door {
    pub(crate) fn new(
        admission: Admission,
        directory: Arc<dyn StreamDirectory>,
        sessions: Sessions,
        input_key: RoleKey,
        metrics: Metrics,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            admission,
            directory,
            sessions,
            input_key,
            metrics,
            limits,
            connections: Arc::new(Semaphore::new(limits.connections)),
            publishers: Arc::new(Semaphore::new(limits.publishers)),
            by_address: ConnectionLimiter::new(limits.connections_per_address),
            tasks: TaskTracker::new(),
            shutdown,
            abandon: CancellationToken::new(),
        }
    }

    /// Takes connections until the router stops.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let (socket, peer) = tokio::select! {
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        // Out of file descriptors is the usual reason, and trying at once would spin.
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Ok(slot) = Arc::clone(&self.connections).try_acquire_owned() else {
                self.metrics.refused(RefusalReason::TooManyConnections);
                continue;
            };
            let door = Arc::clone(&self);
            let tls = tls.clone();
            self.tasks.spawn(async move {
                let abandon = door.abandon.clone();
                let _slot = slot;
                abandon.run_until_cancelled_owned(door.connection(socket, peer, tls)).await;
            });
        }
    }

    /// Waits until every connection has ended, for as long as a drain may take.
    pub(crate) async fn drain(&self) {
        self.tasks.close();
        if timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "connections left at the end of the drain");
            self.abandon.cancel();
            self.tasks.wait().await;
        }
    }

    async fn connection(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
        let _counted = Counted::new(&self.metrics.connections);
        let Some(_place) = self.by_address.acquire(self.address(peer)) else {
            self.metrics.refused(RefusalReason::TooManyConnections);
            tracing::debug!(%peer, "too many connections from this address");
            return;
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY");
        }
        // Boxed, so that a plain connection holds no room for what TLS needs.
        match tls {
            None => Box::pin(self.publisher(socket, peer)).await,
            Some(tls) => match timeout(TLS_HANDSHAKE, tls.accept(socket)).await {
                Ok(Ok(socket)) => Box::pin(self.publisher(socket, peer)).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            },
        }
    }

    async fn publisher<IO>(&self, socket: IO, peer: SocketAddr)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits =
            caudal_rtmp::Limits { max_bitrate: Some(self.limits.bitrate), ..caudal_rtmp::Limits::default() };
        let request = tokio::select! {
            () = self.shutdown.cancelled() => return,
            request = PublisherConnection::accept(socket, limits) => match request {
                Ok(request) => request,
                Err(error) => {
                    tracing::debug!(%peer, %error, "no publisher");
                    return;
                }
            },
        };
        let Ok(place) = Arc::clone(&self.publishers).try_acquire_owned() else {
            self.metrics.refused(RefusalReason::TooManyPublishers);
            tracing::warn!(%peer, limit = self.limits.publishers, "a publisher over the limit");
            request.reject(Refusal::Rejected, "This server takes no more publishers. Try again later.").await;
            return;
        };
        // Boxed, so that a connection that has not asked to publish yet costs no session's memory.
        Box::pin(self.applicant(request, peer, place)).await;
    }

    async fn applicant<IO>(
        &self,
        mut request: PublishRequest<IO>,
        peer: SocketAddr,
        _place: OwnedSemaphorePermit,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let applicant = Applicant {
            key: StreamKey::new(request.details().key().expose()),
            app: request.details().app.clone(),
            remote: match self.limits.addresses {
                Addresses::Real => Some(peer.ip()),
                Addresses::Shared => None,
            },
            session: SessionId::generate(),
        };
        // Not cut short by a shutdown: it may be half way into the directory.
        match self.admission.admit(&applicant, request.closed()).await {
            Ok(admitted) => self.session(request, admitted, &applicant, peer).await,
            Err(NotAdmitted::Gone) => tracing::debug!(%peer, "a publisher did not wait for its answer"),
            Err(NotAdmitted::Refused { refusal, reason, message }) => {
                self.metrics.refused(reason);
                tracing::info!(%peer, app = applicant.app, ?reason, message, "publisher refused");
                request.reject(refusal, &message).await;
            }
        }
    }

    async fn session<IO>(
        &self,
        request: PublishRequest<IO>,
        admitted: Admitted,
        applicant: &Applicant,
        peer: SocketAddr,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Admitted { record, generation } = admitted;
        let spec = &record.spec;
        tracing::info!(
            stream = %spec.stream, channel = spec.channel, session = %applicant.session,
            %generation, %peer, "publisher let in"
        );
        let limits = ReplayLimits::for_broadcast(spec.hints.as_ref());
        let session = applicant.session;
        let link = Link::new(spec.stream, session, generation, self.input_key.clone(), self.metrics.clone());
        let registration = self.sessions.register(&*self.directory, record, session, generation);
        let publisher = request.accept().await;
        let directory = Arc::clone(&self.directory);
        let session = Session::new(publisher, directory, registration, link, limits, self.metrics.clone());
        session.run(self.shutdown.clone()).await;
    }

    fn address(&self, peer: SocketAddr) -> PeerAddress {
        match self.limits.addresses {
            Addresses::Real => PeerAddress::Real(peer.ip()),
            Addresses::Shared => PeerAddress::Shared,
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// As long as an RTMP handshake may take.
const TLS_HANDSHAKE: Duration = Duration::from_secs(5);
