//! Publishers under TLS.

use std::sync::Arc;
use std::time::Duration;

use caudal_rtmp::{RelayClient, RelayPublisher};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::fake_worker::FakeWorker;
use crate::harness::{Frame, HEADER, Harness, KEY, KEYFRAME, send_frame, send_headers, target, within};

/// A certificate for `localhost`, and who trusts it.
pub(crate) fn certificate() -> (ServerConfig, ClientConfig) {
    caudal_service::install_crypto();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (server, client)
}

#[tokio::test]
async fn a_publisher_under_tls_is_one_like_any_other() {
    let (server, client) = certificate();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let harness = Harness::with(|config| config.rtmps = Some((listener, server))).await;
    let mut worker = FakeWorker::start().await;

    let without_tls =
        RelayClient::connect_tcp(address, target(KEY), Instant::now() + Duration::from_secs(20)).await;
    assert!(without_tls.is_err());

    let socket = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let tls = TlsConnector::from(Arc::new(client)).connect(name, socket).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut encoder: RelayPublisher<TlsStream<TcpStream>> =
        within(RelayClient::connect(tls, target(KEY), deadline)).await.unwrap();
    harness.directory.assign(harness.stream, worker.address, 0);
    send_headers(&mut encoder).await;
    send_frame(&mut encoder, 0, Frame::Key, 100_000).await;
    assert_eq!(worker.hears_video().await, (HEADER, 0));
    assert_eq!(worker.hears_video().await, (KEYFRAME, 0));
    encoder.unpublish().await;
    assert!(worker.hears_loss().await);
    harness.stop().await;
}
