//! One look at the door.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use caudal_rtmp::{GreetingError, greet};
use rustls_platform_verifier::ConfigVerifierExt as _;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::start_error::StartError;

/// Where publishers come in, as this process reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtmpDoor {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// RTMPS, with a certificate that this machine trusts.
    pub tls: bool,
}

impl fmt::Display for RtmpDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Why nobody could come in.
#[derive(Debug, Error)]
pub(super) enum Closed {
    #[error("no answer within {} s", .0.as_secs_f64())]
    Silent(Duration),
    #[error("no connection: {0}")]
    Unreachable(#[source] std::io::Error),
    #[error("TLS: {0}")]
    Tls(#[source] std::io::Error),
    #[error(transparent)]
    Greeting(#[from] GreetingError),
}

pub(super) struct Probe {
    door: RtmpDoor,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Probe {
    pub(super) fn new(door: RtmpDoor) -> Result<Self, StartError> {
        let tls = if door.tls {
            let config = ClientConfig::with_platform_verifier()
                .map_err(|error| StartError::RtmpDoor(error.to_string()))?;
            let name = ServerName::try_from(door.host.clone())
                .map_err(|error| StartError::RtmpDoor(error.to_string()))?;
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        Ok(Self { door, tls })
    }

    pub(super) fn door(&self) -> &RtmpDoor {
        &self.door
    }

    /// Goes in as far as an encoder does before it says what it wants, and leaves.
    pub(super) async fn look(&self, deadline: Duration) -> Result<(), Closed> {
        timeout(deadline, self.go_in()).await.map_err(|_| Closed::Silent(deadline))?
    }

    async fn go_in(&self) -> Result<(), Closed> {
        let address = (self.door.host.as_str(), self.door.port);
        let socket = TcpStream::connect(address).await.map_err(Closed::Unreachable)?;
        match &self.tls {
            Some((tls, name)) => {
                greet(tls.connect(name.clone(), socket).await.map_err(Closed::Tls)?).await?;
            }
            None => greet(socket).await?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A listener that does with its one connection what `peer` does, and what the probe makes of it.
    async fn look_at<F: Future<Output = ()>>(peer: impl FnOnce(TcpStream) -> F) -> Result<(), Closed> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = probe(listener.local_addr().unwrap().port());
        let server = async {
            let (socket, _) = listener.accept().await.unwrap();
            peer(socket).await;
        };
        tokio::join!(probe.look(Duration::from_secs(20)), server).0
    }

    fn probe(port: u16) -> Probe {
        Probe::new(RtmpDoor { host: "127.0.0.1".into(), port, tls: false }).unwrap()
    }

    #[tokio::test]
    async fn a_door_that_does_the_handshake_is_open_and_sees_a_publisher_that_left_before_it_asked() {
        let looked = look_at(async |socket| {
            let limits = caudal_rtmp::Limits::default();
            let request = caudal_rtmp::PublisherConnection::accept_tcp(socket, limits).await;
            // It got C2 and the end, and nothing that it refuses.
            assert_eq!(request.map(drop).unwrap_err(), caudal_rtmp::SessionError::Closed);
        });
        looked.await.unwrap();
    }

    #[tokio::test]
    async fn a_door_with_the_plain_handshake_of_the_specification_is_open() {
        let looked = look_at(async |mut socket| {
            let mut greeting = [0; 1 + 1536];
            socket.read_exact(&mut greeting).await.unwrap();
            assert_eq!(greeting[0], 3);
            let answer = [&[3][..], &[0; 8], &[7; 1528], &greeting[1..]].concat();
            // In pieces, as networks deliver it.
            for piece in answer.chunks(1000) {
                socket.write_all(piece).await.unwrap();
            }
            let mut echo = Vec::new();
            socket.read_to_end(&mut echo).await.unwrap();
            assert_eq!(echo.len(), 1536);
            assert_eq!(echo[8..], [7; 1528]);
        });
        looked.await.unwrap();
    }

    #[tokio::test]
    async fn who_speaks_something_else_or_hangs_up_lets_nobody_in() {
        let other = look_at(async |mut socket| {
            socket.write_all(&b"HTTP/1.1 400 Bad Request\r\n".repeat(200)).await.unwrap();
            // Unread bytes would make it a reset.
            let _ = socket.read_to_end(&mut Vec::new()).await;
        });
        let other = other.await;
        assert!(matches!(other, Err(Closed::Greeting(GreetingError::Protocol(_)))), "{other:?}");
        let hangs_up = look_at(async |socket| drop(socket)).await;
        assert!(matches!(hangs_up, Err(Closed::Greeting(GreetingError::Io(_)))), "{hangs_up:?}");
    }

    // The clock runs ahead whenever everybody waits.
    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_lets_nobody_in() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let looked = probe(listener.local_addr().unwrap().port()).look(Duration::from_secs(5)).await;
        assert!(matches!(looked, Err(Closed::Silent(_))), "{looked:?}");
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let looked = probe(port).look(Duration::from_secs(20)).await;
        assert!(matches!(looked, Err(Closed::Unreachable(_))), "{looked:?}");
    }

    #[tokio::test]
    async fn under_tls_a_door_needs_a_certificate_that_is_trusted() {
        caudal_service::install_crypto();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door =
            RtmpDoor { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port(), tls: true };
        let probe = Probe::new(door).unwrap();
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            // A record of a handshake, which says hello; a router without TLS would wait for 0x03.
            assert_eq!(socket.read_u8().await.unwrap(), 0x16);
            socket.write_all(b"no TLS here").await.unwrap();
            let _ = socket.read_to_end(&mut Vec::new()).await;
        };
        let (looked, ()) = tokio::join!(probe.look(Duration::from_secs(20)), server);
        assert!(matches!(looked, Err(Closed::Tls(_))), "{looked:?}");
    }

    #[test]
    fn a_door_is_named_as_people_name_it() {
        for (host, tls, name) in
            [("live.example", true, "rtmps://live.example:1935"), ("::1", false, "rtmp://[::1]:1935")]
        {
            assert_eq!(RtmpDoor { host: host.into(), port: 1935, tls }.to_string(), name);
        }
    }
}
