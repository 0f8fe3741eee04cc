//! Publishers that come through a load balancer which speaks the PROXY protocol.

use std::num::NonZeroUsize;
use std::time::Duration;

use caudal_ingest_router::{Addresses, Config};
use caudal_rtmp::RelayClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::{Harness, KEY, target, within};

fn behind(proxies: &str) -> impl FnOnce(&mut Config) {
    let proxies = proxies.parse().unwrap();
    move |config| config.limits.addresses = Addresses::Real(proxies)
}

/// What a load balancer sends first for a publisher at this address.
fn header(source: [u8; 4]) -> Vec<u8> {
    let [a, b, c, d] = source;
    let addresses = [a, b, c, d, 10, 0, 0, 1, 0xC3, 0x50, 0x07, 0x8F];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C"[..], &addresses].concat()
}

async fn dial(harness: &Harness, first: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(harness.rtmp).await.unwrap();
    socket.write_all(first).await.unwrap();
    socket
}

#[tokio::test]
async fn a_publisher_is_known_by_its_own_address() {
    let harness = Harness::with(behind("127.0.0.0/8")).await;
    let socket = dial(&harness, &header([203, 0, 113, 7])).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let _encoder = within(RelayClient::connect(socket, target(KEY), deadline)).await.unwrap();
    let asked = harness.api.asked();
    assert_eq!(asked.last().unwrap().remote, Some("203.0.113.7".parse().unwrap()));
    harness.stop().await;
}

#[tokio::test]
async fn a_load_balancer_that_says_nothing_is_not_let_in() {
    let harness = Harness::with(behind("127.0.0.1")).await;
    assert!(harness.publish().await.is_err());
    assert!(harness.api.asked().is_empty());
    harness.stop().await;
}

#[tokio::test]
async fn whoever_is_no_load_balancer_names_no_address() {
    let harness = Harness::with(behind("10.0.0.0/8")).await;
    let mut socket = dial(&harness, &header([203, 0, 113, 7])).await;
    assert_eq!(within(socket.read(&mut [0; 1])).await.unwrap_or(0), 0, "closed: that is no handshake");
    let _encoder = harness.publish().await.unwrap();
    assert_eq!(harness.api.asked().last().unwrap().remote, Some("127.0.0.1".parse().unwrap()));
    harness.stop().await;
}

#[tokio::test]
async fn an_address_behind_the_load_balancer_has_its_own_share_of_the_waiting_room() {
    let harness = Harness::with(|config| {
        behind("127.0.0.1")(config);
        config.limits.connections_per_address = NonZeroUsize::new(1);
    })
    .await;
    let mut first = dial(&harness, &header([203, 0, 113, 7])).await;
    let mut other = dial(&harness, &header([203, 0, 113, 8])).await;
    // The handshake is answered, so that its address has been read.
    for socket in [&mut first, &mut other] {
        socket.write_all(&[3; 1537]).await.unwrap();
        within(socket.read_exact(&mut [0; 1])).await.unwrap();
    }
    let _second = dial(&harness, &header([203, 0, 113, 7])).await;
    let mut rest = Vec::new();
    let _ = within(first.read_to_end(&mut rest)).await;
    assert_eq!(harness.counted("caudal_ingest_router_refusals_total"), 1, "the oldest of that address alone");
    // The rest of the answers to both halves of its greeting: it is still spoken with.
    within(other.read_exact(&mut [0; 3072])).await.unwrap();
    harness.stop().await;
}
