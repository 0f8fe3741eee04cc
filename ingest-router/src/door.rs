//! Where publishers come in: listeners, limits, and the way of one connection.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use caudal_directory::StreamDirectory;
use caudal_livestream::SessionId;
use caudal_livestream::proof::RoleKey;
use caudal_rtmp::{PublishRequest, PublisherConnection};
use caudal_service::origin::Origin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::display;

use crate::admission::{Admission, Admitted, Applicant, NotAdmitted};
use crate::config::{Addresses, Drain, Limits};
use crate::link::Link;
use crate::metrics::{Counted, Metrics, RefusalReason};
use crate::proxy_protocol::{self, NoHeader};
use crate::session::Session;
use crate::sessions::Sessions;
use crate::waiting_room::{Entered, Place, Room, WaitingRoom};

/// Lets publishers in, on any number of listeners.
pub(crate) struct Door {
    admission: Admission,
    directory: Arc<dyn StreamDirectory>,
    sessions: Sessions,
    input_key: RoleKey,
    metrics: Metrics,
    limits: Limits,
    waiting_room: WaitingRoom,
    /// Every connection's task.
    tasks: TaskTracker,
    /// Cancelled when nobody is let in any more.
    closed: CancellationToken,
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
        closed: CancellationToken,
    ) -> Self {
        let waiting_room = WaitingRoom::new(Room {
            places: limits.waiting,
            per_address: limits.connections_per_address.map(NonZeroUsize::get),
            patience: PATIENCE,
        });
        Self {
            admission,
            directory,
            sessions,
            input_key,
            metrics,
            limits,
            waiting_room,
            tasks: TaskTracker::new(),
            closed,
            abandon: CancellationToken::new(),
        }
    }

    /// Takes connections until the router stops.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let (socket, peer) = tokio::select! {
                () = self.closed.cancelled() => return,
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
            let place = self.enter(self.origin(peer));
            let door = Arc::clone(&self);
            let tls = tls.clone();
            self.tasks.spawn(async move {
                let abandon = door.abandon.clone();
                abandon.run_until_cancelled_owned(door.connection(socket, peer, place, tls)).await;
            });
        }
    }

    /// Lets publishers go one by one, and waits until every connection has ended, for as long as that may take.
    pub(crate) async fn drain(&self) {
        let Drain { spread, farewell, .. } = self.limits.drain;
        self.tasks.close();
        if !self.tasks.is_empty() {
            let at_most = spread + farewell;
            tracing::info!(open = self.tasks.len(), ?at_most, "waiting until what is open has ended");
        }
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.sessions.leave_within(spread) => {}
        }
        if timeout(farewell, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "connections left at the end of the drain");
            self.abandon.cancel();
            self.tasks.wait().await;
        }
    }

    async fn connection(
        self: Arc<Self>,
        mut socket: TcpStream,
        mut peer: SocketAddr,
        mut place: Place,
        tls: Option<TlsAcceptor>,
    ) {
        let _counted = Counted::new(&self.metrics.connections);
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY");
        }
        if self.is_proxy(peer) {
            let source = tokio::select! {
                () = place.over() => return,
                source = proxy_protocol::source(&mut socket) => source,
            };
            match source {
                // From here on it waits among the connections of its own address.
                Ok(Some(source)) => (peer, place) = (source, self.enter(self.origin(source))),
                Ok(None) => {}
                // As a load balancer's look at whether anybody listens.
                Err(NoHeader::Nothing) => return,
                Err(error) => {
                    tracing::warn!(%peer, %error, "no PROXY protocol header from a load balancer");
                    return;
                }
            }
        }
        // Boxed, so that a plain connection holds no room for what TLS needs.
        let Some(tls) = tls else { return Box::pin(self.publisher(socket, peer, place)).await };
        let handshake = tokio::select! {
            () = place.over() => return,
            handshake = timeout(TLS_HANDSHAKE, tls.accept(socket)) => handshake,
        };
        match handshake {
            Ok(Ok(socket)) => Box::pin(self.publisher(socket, peer, place)).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
    }

    async fn publisher<IO>(&self, socket: IO, peer: SocketAddr, place: Place)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits =
            caudal_rtmp::Limits { max_bitrate: Some(self.limits.bitrate), ..caudal_rtmp::Limits::default() };
        let request = tokio::select! {
            () = self.closed.cancelled() => return,
            () = place.over() => {
                tracing::debug!(%peer, "a connection had to make room");
                return;
            }
            request = PublisherConnection::accept(socket, limits) => match request {
                Ok(request) => request,
                Err(error) => {
                    tracing::debug!(%peer, %error, "no publisher");
                    return;
                }
            },
        };
        // Boxed, so that a connection that has not asked to publish yet costs no session's memory.
        Box::pin(self.applicant(request, peer, place)).await;
    }

    async fn applicant<IO>(&self, mut request: PublishRequest<IO>, peer: SocketAddr, place: Place)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let remote = self.remote(peer);
        let begun = SystemTime::now();
        let applicant = Applicant::new(request.details(), remote, SessionId::generate());
        let gone = async {
            tokio::select! {
                () = request.closed() => {}
                () = place.over() => {}
            }
        };
        // Not cut short when the door is closed: it may be half way into the directory.
        match self.admission.admit(&applicant, gone).await {
            Ok(admitted) => {
                // It has a seat now.
                drop(place);
                self.session(request, admitted, &applicant, peer, begun).await;
            }
            Err(NotAdmitted::Gone) => tracing::debug!(%peer, "a publisher did not wait for its answer"),
            Err(NotAdmitted::Refused { refusal, reason, message, broadcast }) => {
                self.metrics.refused(reason);
                let (stream, channel) = broadcast.map(|of| (display(of.stream), of.channel)).unzip();
                tracing::info!(
                    %peer, app = applicant.app.word(), reason = reason.label(), stream, channel, "publisher refused"
                );
                // A refused publisher keeps its place in the waiting room until its connection is closed, so that those who
                // stay are bounded like all who wait, and make room for newcomers.
                tokio::select! {
                    () = place.over() => {}
                    () = request.reject(refusal, &message) => {}
                }
            }
        }
    }

    async fn session<IO>(
        &self,
        request: PublishRequest<IO>,
        admitted: Admitted,
        applicant: &Applicant,
        peer: SocketAddr,
        begun: SystemTime,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Admitted { record, generation, seat } = admitted;
        let can_reconnect = request.details().enhanced.can_reconnect();
        let spec = &record.spec;
        tracing::info!(
            stream = %spec.stream, channel = spec.channel, session = %applicant.session,
            %generation, %peer, "publisher let in"
        );
        let session = applicant.session;
        let (stream, traces) = (spec.stream, self.admission.traces.clone());
        let mut admission = traces.begin_at(stream, "admission", begun);
        admission.note("caudal.session", session);
        admission.note("caudal.generation", generation);
        let (input_key, metrics) = (self.input_key.clone(), self.metrics.clone());
        let link = Link::new(stream, session, generation, input_key, metrics, traces.clone());
        let registration = self.sessions.register(&*self.directory, record, session, generation);
        let publisher = request.accept().await;
        admission.end();
        let mut published = traces.begin(stream, "publish");
        published.note("caudal.session", applicant.session);
        published.note("caudal.generation", generation);
        let directory = Arc::clone(&self.directory);
        let session =
            Session::new(publisher, can_reconnect, seat, directory, registration, link, self.metrics.clone());
        let end = session.run().await;
        published.note("caudal.end", end.label());
    }

    fn enter(&self, origin: Option<Origin>) -> Place {
        let Entered { place, made_room } = self.waiting_room.enter(origin);
        if made_room {
            self.metrics.refused(RefusalReason::TooManyConnections);
        }
        place
    }

    fn is_proxy(&self, peer: SocketAddr) -> bool {
        matches!(&self.limits.addresses, Addresses::Real(proxies) if proxies.contains(peer.ip()))
    }

    /// The publisher's own address; a load balancer's stands for nobody, even where it speaks for itself.
    fn remote(&self, peer: SocketAddr) -> Option<IpAddr> {
        match self.limits.addresses {
            Addresses::Real(_) if !self.is_proxy(peer) => Some(peer.ip()),
            _ => None,
        }
    }

    fn origin(&self, peer: SocketAddr) -> Option<Origin> {
        self.remote(peer).map(Origin::from)
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// As long as an RTMP handshake may take.
const TLS_HANDSHAKE: Duration = Duration::from_secs(5);
/// The deadlines of TLS, the handshake, `publish` and the api's answer, and a moment to hear of a refusal.
const PATIENCE: Duration = Duration::from_secs(30);
