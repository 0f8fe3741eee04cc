//! WebSockets on a real listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use caudal_api::sockets::{SocketLimits, Sockets};
use caudal_service::http::{HttpLimits, HttpServer};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{self, protocol::frame::coding::CloseCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

type Peer = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A server that repeats what it is told, and what it has seen.
#[derive(Clone)]
struct Echo {
    sockets: Sockets,
    ended: Arc<AtomicUsize>,
}

struct Running {
    echo: Echo,
    address: SocketAddr,
    shutdown: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

#[derive(Deserialize)]
struct Who {
    /// Never looks at its socket.
    #[serde(default)]
    deaf: bool,
}

async fn talk(
    State(echo): State<Echo>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(Who { deaf }): Query<Who>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let place = match echo.sockets.enter(peer.ip()) {
        Ok(place) => place,
        Err(full) => return (StatusCode::SERVICE_UNAVAILABLE, full.to_string()).into_response(),
    };
    place.upgrade(upgrade, move |socket| {
        async move {
            if deaf {
                std::future::pending::<()>().await;
            }
            while let Some(message) = socket.next().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
            echo.ended.fetch_add(1, Ordering::SeqCst);
        }
        .boxed()
    })
}

impl Running {
    async fn start(limits: SocketLimits) -> Self {
        let echo = Echo { sockets: Sockets::new(limits), ended: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let router = Router::new().route("/talk", get(talk)).with_state(echo.clone());
        let server = HttpServer::new(listener, HttpLimits::default());
        let server = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { server.serve(router, shutdown).await }
        });
        Self { echo, address, shutdown, server }
    }

    async fn join(&self, query: &str) -> Result<Peer, String> {
        match connect_async(format!("ws://{}/talk?{query}", self.address)).await {
            Ok((peer, _)) => Ok(peer),
            Err(tungstenite::Error::Http(answer)) => {
                Err(String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default()).into_owned())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// One that has been answered, so that its conversation is under way.
    async fn talking(&self, query: &str) -> Peer {
        let mut peer = self.join(query).await.unwrap();
        peer.send("hello".into()).await.unwrap();
        assert_eq!(soon(peer.next()).await.unwrap().unwrap(), "hello".into());
        peer
    }

    async fn until_left(&self, count: usize) {
        soon(async {
            while self.echo.sockets.count() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        soon(self.server).await.unwrap().unwrap();
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it takes too long")
}

const PLENTY: SocketLimits = SocketLimits { total: 1_000, per_account: 100, per_address: 100 };

#[tokio::test]
async fn at_shutdown_every_peer_is_told_that_the_server_goes_away_and_all_conversations_end() {
    let running = Running::start(PLENTY).await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(running.talking("").await);
    }
    assert_eq!(running.echo.sockets.count(), 20);
    let sockets = running.echo.sockets.clone();
    let closing = tokio::spawn(async move { sockets.close(Duration::ZERO, Duration::from_secs(10)).await });
    for peer in &mut peers {
        // Reading answers a close frame, too.
        let last = soon(peer.next()).await.unwrap().unwrap();
        let tungstenite::Message::Close(Some(frame)) = last else { panic!("{last:?}") };
        assert_eq!(u16::from(frame.code), 1001);
        assert_eq!(frame.code, CloseCode::Away);
        assert!(soon(peer.next()).await.is_none());
    }
    assert_eq!(soon(closing).await.unwrap(), 0, "nobody was cut off");
    assert_eq!(running.echo.ended.load(Ordering::SeqCst), 20);
    assert_eq!(running.echo.sockets.count(), 0);
    assert_eq!(
        running.join("").await.err().as_deref(),
        Some("the server is stopping; try again in a moment")
    );
    running.stop().await;
}

#[tokio::test]
async fn at_shutdown_peers_go_one_by_one_and_talk_until_their_turn_comes() {
    let running = Running::start(PLENTY).await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(running.talking("").await);
    }
    let (sockets, begun) = (running.echo.sockets.clone(), Instant::now());
    let spread = Duration::from_secs(2);
    let closing = tokio::spawn(async move { sockets.close(spread, Duration::from_secs(10)).await });
    let until_closed = peers.iter_mut().map(|peer| async move {
        let (mut answers, mut said) = (0, true);
        loop {
            if said {
                // Its turn may come just now.
                let _ = peer.send("still here".into()).await;
            }
            match soon(peer.next()).await {
                Some(Ok(tungstenite::Message::Close(Some(frame)))) => {
                    assert_eq!(frame.code, CloseCode::Away);
                    said = false;
                }
                Some(Ok(_)) => {
                    answers += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                _ => return (begun.elapsed(), answers),
            }
        }
    });
    let mut closed = futures::future::join_all(until_closed).await;
    assert_eq!(soon(closing).await.unwrap(), 0, "nobody was cut off");
    closed.sort_unstable();
    let early = closed.iter().filter(|(at, _)| *at < spread / 2).count();
    assert!((5..=15).contains(&early), "{closed:?}");
    assert!(closed.last().unwrap().1 > 1, "{closed:?}");
    running.stop().await;
}

#[tokio::test]
async fn who_does_not_close_in_time_is_cut_off_at_the_deadline() {
    let running = Running::start(PLENTY).await;
    // A conversation that does not look, a peer that does not, and one of both that do.
    let mut deaf = running.join("deaf=true").await.unwrap();
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let handshake = "GET /talk HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    silent.write_all(handshake.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    silent.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 101");
    let mut good = running.talking("").await;
    soon(async {
        // The two that say nothing have begun as well.
        while running.echo.sockets.conversations() != 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (sockets, begun) = (running.echo.sockets.clone(), Instant::now());
    let closing = tokio::spawn(async move { sockets.close(Duration::ZERO, Duration::from_secs(1)).await });
    assert!(matches!(soon(good.next()).await, Some(Ok(tungstenite::Message::Close(Some(_))))));
    assert!(soon(good.next()).await.is_none());
    assert_eq!(soon(closing).await.unwrap(), 2);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(running.echo.sockets.count(), 0);
    // Their connections are gone.
    let mut rest = Vec::new();
    soon(silent.read_to_end(&mut rest)).await.ok();
    assert!(soon(deaf.next()).await.is_none_or(|last| last.is_err()));
    running.stop().await;
}

#[tokio::test]
async fn sockets_are_bounded_by_address_and_in_all_and_make_room_when_they_leave() {
    let limits = SocketLimits { total: 16, per_account: 16, per_address: 3 };
    let running = Running::start(limits).await;
    let (first, second, third) =
        (running.talking("").await, running.talking("").await, running.talking("").await);
    let refused = running.join("").await.expect_err("a fourth");
    assert_eq!(refused, "too many connections from this address are open; close some");
    // The test has one address only; others come as the router would see them.
    let enter = |n: u32| running.echo.sockets.enter(std::net::Ipv4Addr::from(n).into());
    let elsewhere: Vec<_> = (0..13).map(|n| enter(n).unwrap()).collect();
    let full = enter(13).unwrap_err();
    assert_eq!(full.to_string(), "too many connections are open on this server; try again later");
    drop(elsewhere);
    // By closing, and by just going.
    let mut first = first;
    first.close(None).await.unwrap();
    while let Some(answer) = soon(first.next()).await {
        assert!(matches!(answer, Ok(tungstenite::Message::Close(_))), "{answer:?}");
    }
    drop(second);
    running.until_left(1).await;
    let again = running.talking("").await;
    drop((again, third));
    running.until_left(0).await;
    assert_eq!(running.echo.ended.load(Ordering::SeqCst), 4);
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_conversation_and_nothing_else() {
    let running = Running::start(PLENTY).await;
    let (mut loud, mut other) = (running.talking("").await, running.talking("").await);
    // The server may have closed before it took all of it.
    let _ = loud.send(vec![0; 1024 * 1024].into()).await;
    running.until_left(1).await;
    other.send(vec![1; 60 * 1024].into()).await.unwrap();
    assert_eq!(soon(other.next()).await.unwrap().unwrap(), vec![1; 60 * 1024].into());
    // And the peer is told why, where it reads on.
    other.send(vec![0; 65 * 1024].into()).await.unwrap();
    let closed = soon(other.next()).await.unwrap().unwrap();
    let tungstenite::Message::Close(Some(frame)) = closed else { panic!("{closed:?}") };
    assert_eq!(u16::from(frame.code), 4400, "{frame}");
    assert!(frame.reason.contains("too large"), "{frame}");
    drop(other);
    running.until_left(0).await;
    running.stop().await;
}
