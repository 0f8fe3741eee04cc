use super::*;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
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
    let limits = HttpLimits { first_request_deadline: Duration::from_millis(50), ..HttpLimits::default() };
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
async fn a_server_that_is_leaving_answers_once_more_and_says_that_it_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (leaving, shutdown) = (CancellationToken::new(), CancellationToken::new());
    let server = HttpServer::new(listener, HttpLimits::default()).until_leaving(leaving.clone());
    let serving = tokio::spawn(server.serve(router(), shutdown.clone()));
    let mut kept_alive = TcpStream::connect(address).await.unwrap();
    kept_alive.write_all(ASK).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        kept_alive.read_buf(&mut answer).await.unwrap();
    }
    assert!(!String::from_utf8(answer).unwrap().contains("connection: close"));
    leaving.cancel();
    for mut connection in [kept_alive, TcpStream::connect(address).await.unwrap()] {
        connection.write_all(ASK).await.unwrap();
        let answer = everything(connection).await;
        assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    }
    shutdown.cancel();
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

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ASK_BIG: &[u8] = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS with INITIAL_WINDOW_SIZE 0: no stream may send a byte.
const CLOSED_WINDOW: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";
/// `GET /` over http to the authority `a`, on stream 1, with END_STREAM and END_HEADERS.
const HEADERS: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a";

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        // More than any socket buffer.
        .route("/big", get(|| async { vec![0_u8; 64 * 1024 * 1024] }))
        .route("/body", axum::routing::post(|body: String| async { body }))
}

/// What a peer does after it has sent its first bytes.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// Sends the same bytes again and again.
    Repeats(&'static [u8]),
    /// Reads a byte now and then.
    Sips,
}

/// What a peer owes, on a connection without TLS.
const PEERS: &[(&str, &[u8], Then)] = &[
    ("says nothing", b"", Then::Nothing),
    ("says one letter that begins two protocols", b"P", Then::Nothing),
    ("says half a preface", b"PRI * HTTP/2.0\r\n", Then::Nothing),
    ("says half a request line", b"GET /live/", Then::Nothing),
    ("says its headers a byte at a time", b"GET / HTTP/1.1\r\nX: ", Then::Repeats(b"x")),
    ("says lines before its request", b"", Then::Repeats(b"\r\n")),
    ("opens HTTP/2 and no stream", PREFACE, Then::Repeats(SETTINGS)),
    ("only pings", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", Then::Repeats(PING)),
    (
        "sends its body a byte at a time",
        b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n",
        Then::Repeats(b"x"),
    ),
    ("sends no body", b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n", Then::Nothing),
    ("asks once and stays", ASK, Then::Nothing),
    ("asks once, and for the next a byte at a time", ASK, Then::Repeats(b"G")),
    ("never reads", ASK_BIG, Then::Nothing),
    ("reads a byte now and then", ASK_BIG, Then::Sips),
    ("asks again and again and reads nothing", ASK_BIG, Then::Repeats(ASK_BIG)),
];

/// Until the server closes; bounded by the test's own patience. A server that is not there any more cannot be written to.
async fn outlast(mut stream: impl AsyncRead + AsyncWrite + Unpin, first: &[u8], then: Then) {
    let mut byte = [0_u8; 1];
    let _ = stream.write_all(first).await;
    loop {
        match then {
            // Reading would free the server's buffers; a half-open connection shows only by writing.
            Then::Nothing => {}
            Then::Repeats(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Then::Sips => {
                if !matches!(stream.read(&mut byte).await, Ok(1)) {
                    return;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Connections that a listener has, over a door of its own so that they can be counted.
struct Counted {
    door: Arc<Door>,
    open: TaskTracker,
}

impl Counted {
    fn new(limits: HttpLimits, tls: Option<TlsAcceptor>) -> Self {
        let door = Arc::new(Door::new(router(), limits, tls, CancellationToken::new()));
        Self { door, open: TaskTracker::new() }
    }

    fn connect(&self, peer: &str) -> tokio::io::DuplexStream {
        // As small as a socket's buffer may be: what is written beyond it waits for the reader.
        let (near, far) = tokio::io::duplex(16 * 1024);
        self.open.spawn(Arc::clone(&self.door).admit(far, SocketAddr::new(peer.parse().unwrap(), 1)));
        near
    }

    async fn end(&self) {
        self.open.close();
        timeout(Duration::from_secs(120), self.open.wait()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn no_peer_that_owes_something_is_left_after_its_deadline() {
    for (who, first, then) in PEERS {
        let counted = Counted::new(HttpLimits::default(), None);
        let near = counted.connect("192.0.2.1");
        let peer = tokio::spawn(outlast(near, first, *then));
        counted.open.close();
        let ended = timeout(Duration::from_secs(70), counted.open.wait()).await;
        assert!(ended.is_ok(), "a peer that {who} is still connected");
        peer.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_has_five_seconds_for_its_first_request_whatever_protocol_it_may_mean() {
    for (who, first, then) in &PEERS[..8] {
        let counted = Counted::new(HttpLimits::default(), None);
        let begun = Instant::now();
        let peer = tokio::spawn(outlast(counted.connect("192.0.2.1"), first, *then));
        counted.end().await;
        assert_eq!(begun.elapsed().as_secs(), 5, "a peer that {who}");
        peer.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_2_peer_that_opens_no_window_is_closed() {
    let counted = Counted::new(HttpLimits::default(), None);
    let mut near = counted.connect("192.0.2.1");
    near.write_all(&[PREFACE, CLOSED_WINDOW, HEADERS].concat()).await.unwrap();
    let begun = Instant::now();
    // It reads everything, and answers pings and settings: only the stream's window stays shut.
    let mut heard = Vec::new();
    let _ = timeout(Duration::from_secs(100), near.read_to_end(&mut heard)).await.unwrap();
    assert!(!heard.windows(5).any(|window| window == b"hello"));
    assert_eq!(begun.elapsed().as_secs(), 30, "the answer's deadline, not an error's");
    counted.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_goes_on_reading_is_not_cut() {
    let counted = Counted::new(HttpLimits::default(), None);
    let mut near = counted.connect("192.0.2.1");
    near.write_all(ASK_BIG).await.unwrap();
    let (mut heard, mut buffer) = (0, vec![0; 64 * 1024]);
    // 16 kB/s for four minutes, far longer than any deadline.
    for second in 0..240 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let read = near.read(&mut buffer).await.unwrap();
        assert!(read > 0, "cut after {second} s");
        heard += read;
    }
    assert!(heard > 3_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_ask_its_readers_to_be_faster() {
    let limits = HttpLimits { least_taken: 512 * 1024, ..HttpLimits::default() };
    // Four minutes at 16 kB/s, and at 24.
    for (bytes, cut) in [(16 * 1024, true), (24 * 1024, false)] {
        let counted = Counted::new(limits.clone(), None);
        let mut near = counted.connect("192.0.2.1");
        near.write_all(ASK_BIG).await.unwrap();
        let mut buffer = vec![0; bytes];
        let mut reading = true;
        for _ in 0..240 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            reading &= near.read_exact(&mut buffer).await.is_ok();
        }
        assert_eq!(reading, !cut, "{bytes} B/s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_for_us_has_no_deadline() {
    let router =
        Router::new().route("/", get(|| async { tokio::time::sleep(Duration::from_secs(600)).await })).route(
            "/feed",
            get(|| async {
                let beat = async |beats: u32| {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    (beats < 10).then_some((Ok::<_, Infallible>("beat"), beats + 1))
                };
                Body::from_stream(futures::stream::unfold(0, beat))
            }),
        );
    let door = Arc::new(Door::new(router, HttpLimits::default(), None, CancellationToken::new()));
    for request in ["GET / HTTP/1.1", "GET /feed HTTP/1.1"] {
        let (mut near, far) = tokio::io::duplex(1024);
        let serving = tokio::spawn(Arc::clone(&door).admit(far, "192.0.2.1:1".parse().unwrap()));
        near.write_all(format!("{request}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut heard = String::new();
        near.read_to_string(&mut heard).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 200"), "{request}: {heard}");
        assert!(request.starts_with("GET / ") || heard.matches("beat").count() == 10, "{heard}");
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut_also_while_the_answer_waits_for_us() {
    let open = Arc::new(Notify::new());
    let closed = Arc::clone(&open);
    let answer = move || {
        let closed = Arc::clone(&closed);
        async move {
            let first = futures::stream::iter([Ok::<_, Infallible>(vec![0_u8; 16 * 1024])]);
            let gone = Gone(closed);
            let rest = futures::stream::once(async move {
                let _gone = gone;
                std::future::pending().await
            });
            Body::from_stream(futures::StreamExt::chain(first, rest))
        }
    };
    let limits = HttpLimits { read_deadline: Duration::from_millis(500), ..HttpLimits::default() };
    let (address, shutdown, serving) = start(limits, Router::new().route("/", get(answer))).await;
    // The answer's first part fits in our buffer, and not in the peer's.
    let peer = tokio::net::TcpSocket::new_v4().unwrap();
    peer.set_recv_buffer_size(2048).unwrap();
    let mut peer = peer.connect(address).await.unwrap();
    peer.write_all(ASK).await.unwrap();
    timeout(Duration::from_secs(10), open.notified()).await.expect("still open");
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}

/// Says that an answer was dropped.
struct Gone(Arc<Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test(start_paused = true)]
async fn an_honest_client_is_served_among_ten_thousand_that_say_nothing() {
    for addresses in [1, 5000] {
        let counted = Counted::new(HttpLimits::public(TrustedProxies::default()), None);
        let mut silent = Vec::new();
        for index in 0_u32..10_000 {
            let address = std::net::Ipv4Addr::from(0xCB00_0000 + index % addresses);
            silent.push(counted.connect(&address.to_string()));
            if index % 1000 == 999 {
                let mut honest = counted.connect("203.0.0.0");
                honest.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
                let mut heard = String::new();
                honest.read_to_string(&mut heard).await.unwrap();
                assert!(heard.ends_with("hello"), "among {index}: {heard}");
                assert!(counted.open.len() <= 1024 + 2);
            }
        }
        counted.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_uses_all_of_its_share_is_told_so_and_others_are_served() {
    let router =
        Router::new().route("/", get(std::future::pending::<()>)).route("/now", get(|| async { "now" }));
    let limits = HttpLimits { per_address: Some(2), ..HttpLimits::default() };
    let door = Arc::new(Door::new(router, limits, None, CancellationToken::new()));
    let connect = |peer: &str| {
        let (near, far) = tokio::io::duplex(1024);
        tokio::spawn(Arc::clone(&door).admit(far, peer.parse().unwrap()));
        near
    };
    let ask = async |mut stream: tokio::io::DuplexStream| {
        stream.write_all(b"GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        heard
    };
    let mut waiting = [connect("192.0.2.1:1"), connect("192.0.2.1:2")];
    for stream in &mut waiting {
        stream.write_all(ASK).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = ask(connect("192.0.2.1:3")).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    assert!(ask(connect("192.0.2.2:1")).await.ends_with("now"));
}

#[tokio::test]
async fn half_a_tls_hello_and_silence_after_a_whole_one_are_closed() {
    crate::install_crypto();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tokio::time::pause();
    for whole in [false, true] {
        let counted = Counted::new(HttpLimits::default(), Some(TlsAcceptor::from(Arc::new(server.clone()))));
        let mut near = counted.connect("192.0.2.1");
        if whole {
            let connector = tokio_rustls::TlsConnector::from(Arc::new(client.clone()));
            let tls = connector.connect("localhost".try_into().unwrap(), near).await.unwrap();
            let peer = tokio::spawn(outlast(tls, b"GET / HT", Then::Nothing));
            counted.end().await;
            peer.abort();
        } else {
            // A record of 512 bytes that ends after four.
            near.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc").await.unwrap();
            counted.end().await;
        }
    }
}
