//! Strangers who hold on to what they have, and a streamer with a good key among them.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use caudal_ingest_router::{Drain, Limits};
use caudal_livestream::StreamId;
use caudal_livestream::admission::{DenialCode, SecondPublisher};
use caudal_livestream::feed::InputState;
use caudal_rtmp::{ClientSession, Refusal, RelayClient, RelayError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fake_api::Mood;
use crate::fake_worker::FakeWorker;
use crate::harness::{
    Encoder, Frame, HEADER, Harness, KEY, authorize, refusal, send_frame, send_headers, target, within,
};
use crate::rtmps::certificate;

/// How far a stranger goes before it says nothing more and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stranger {
    Silent,
    SilentUnderTls,
    HalfAHandshake,
    /// So many times it answers what it is sent: hands shaken, connected, a stream made.
    Answers(usize),
    /// It asks to publish and waits for what becomes of that, and longer.
    Stays,
}

#[tokio::test]
async fn a_good_key_goes_live_while_the_waiting_room_is_full_of_any_kind_of_stranger() {
    let denied = || Mood::Deny(DenialCode::UnknownKey, "No such key.");
    for (stranger, others) in [
        (Stranger::Silent, denied()),
        (Stranger::SilentUnderTls, denied()),
        (Stranger::HalfAHandshake, denied()),
        (Stranger::Answers(1), denied()),
        (Stranger::Answers(2), denied()),
        (Stranger::Answers(3), denied()),
        // Refused, they do not close; and an api that does not answer about them.
        (Stranger::Stays, denied()),
        (Stranger::Stays, Mood::Silence),
    ] {
        let (tls, _) = certificate();
        let rtmps = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let under_tls = rtmps.local_addr().unwrap();
        let harness = Harness::with(|config| {
            config.rtmps = Some((rtmps, tls));
            (config.limits.waiting, config.limits.publishers) = (WAITING, 2);
        })
        .await;
        harness.api.set(Mood::OnlyFor(KEY, Box::new(authorize(harness.stream)), Box::new(others)));
        let mut strangers = JoinSet::new();
        let door = if stranger == Stranger::SilentUnderTls { under_tls } else { harness.rtmp };
        for host in 2..6 {
            for _ in 0..3 {
                let socket = dial(door, host).await;
                strangers.spawn(stranger.stays(socket));
            }
        }
        within(async {
            while harness.counted("caudal_ingest_router_refusals_total")
                < 12 - u64::try_from(WAITING).unwrap()
            {
                tokio::task::yield_now().await;
            }
        })
        .await;

        let deadline = Instant::now() + Duration::from_secs(20);
        let socket = dial(harness.rtmp, 1).await;
        let mut encoder: Encoder = within(RelayClient::connect(socket, target(KEY), deadline))
            .await
            .unwrap_or_else(|error| panic!("{stranger:?}: {error}"));

        // Nor does it lose its seat to those who come later.
        for host in 2..6 {
            for _ in 0..3 {
                let socket = dial(door, host).await;
                strangers.spawn(stranger.stays(socket));
            }
        }
        let mut worker = FakeWorker::start().await;
        harness.directory.assign(harness.stream, worker.address, 0);
        send_headers(&mut encoder).await;
        send_frame(&mut encoder, 0, Frame::Key, 100).await;
        assert_eq!(worker.hears_video().await, (HEADER, 0), "{stranger:?}");
        strangers.shutdown().await;
        drop(encoder);
        harness.stop().await;
    }
}

#[tokio::test]
async fn one_address_cannot_hold_more_than_its_share_of_the_waiting_room() {
    let limits = Limits { connections_per_address: NonZeroUsize::new(2), ..Limits::default() };
    let harness = Harness::with(|config| config.limits = limits).await;
    let mut first = dial(harness.rtmp, 2).await;
    let _second = dial(harness.rtmp, 2).await;
    let _third = dial(harness.rtmp, 2).await;
    assert_eq!(within(first.read(&mut [0])).await.unwrap_or(0), 0, "the oldest is closed");
    assert_eq!(harness.counted("caudal_ingest_router_refusals_total"), 1);
    harness.stop().await;
}

#[tokio::test]
async fn publishers_that_were_let_in_do_not_count_as_strangers_of_their_address() {
    let limits = Limits { connections_per_address: NonZeroUsize::new(1), waiting: 1, ..Limits::default() };
    let harness = Harness::with(|config| config.limits = limits).await;
    let mut studio = Vec::new();
    for _ in 0..5 {
        harness.api.set(authorize(StreamId::generate()));
        studio.push(harness.publish().await.unwrap());
    }
    assert_eq!(harness.counted("caudal_ingest_router_publishers"), 5);
    harness.stop().await;
}

#[tokio::test]
async fn publishers_over_the_limit_are_told_and_one_that_returns_gets_in_all_the_same() {
    let limits = Limits {
        publishers: 1,
        drain: Drain { farewell: Duration::from_secs(10), ..Drain::default() },
        ..Limits::default()
    };
    let harness = Harness::with(|config| config.limits = limits).await;
    let takeover = Mood::Authorize { stream: harness.stream, policy: SecondPublisher::Takeover };
    harness.api.set(takeover.clone());
    let _half_open = harness.publish().await.unwrap();

    harness.api.set(authorize(StreamId::generate()));
    let error = harness.publish().await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::Rejected));
    assert!(refusal(&error).1.contains("as many publishers as it can take"), "{error}");

    harness.api.set(takeover);
    let _returned = harness.publish().await.unwrap();
    assert_eq!(harness.record().spec.ingest.generation.0, 2);
    harness.stop().await;
}

#[tokio::test]
async fn a_hundred_connections_with_one_good_key_take_no_seats_from_others() {
    let limits = Limits { publishers: 2, connections_per_address: None, ..Limits::default() };
    let harness = Harness::with(|config| config.limits = limits).await;
    let other =
        Mood::OnlyFor(KEY, Box::new(authorize(harness.stream)), Box::new(authorize(StreamId::generate())));
    harness.api.set(other);
    let (_first, worker) = harness.live().await;
    let ingest = harness.record().spec.ingest.clone();
    // Neither silent for long enough nor heard of meanwhile, so that whoever else comes is held for seconds.
    worker.say(InputState {
        session: Some(ingest.session),
        generation: ingest.generation,
        up: true,
        silent_ms: Some(1900),
        ..InputState::default()
    });
    let asked = harness.api.asked().len();
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let deadline = Instant::now() + Duration::from_secs(20);
        crowd.spawn(RelayClient::connect_tcp(harness.rtmp, target(KEY), deadline));
    }
    within(async {
        while harness.api.asked().len() < asked + CROWD {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let _other = harness.publish_key("another-key").await.unwrap();
    crowd.shutdown().await;
    harness.stop().await;
}

#[tokio::test]
async fn a_good_key_behind_an_address_that_guesses_comes_back_to_its_broadcast() {
    let harness = Harness::start().await;
    let nobody = Mood::Deny(DenialCode::UnknownKey, "No such key.");
    harness.api.set(Mood::OnlyFor(KEY, Box::new(authorize(harness.stream)), Box::new(nobody)));
    drop(harness.publish().await.unwrap());
    for guess in 0..12 {
        let _: RelayError = harness.publish_key(&format!("guess-{guess}")).await.unwrap_err();
    }
    let _returned = harness.publish().await.unwrap();
    harness.stop().await;
}

#[tokio::test]
async fn a_good_key_goes_live_behind_an_address_that_guesses() {
    let harness = Harness::start().await;
    let nobody = || Box::new(Mood::Deny(DenialCode::UnknownKey, "No such key."));
    let good = format!("live_{}", "a1".repeat(16));
    harness.api.set(Mood::OnlyFor(KEY, Box::new(authorize(harness.stream)), nobody()));
    for guess in 0..12 {
        let _: RelayError = harness.publish_key(&format!("guess-{guess}")).await.unwrap_err();
    }
    let asked = harness.api.asked().len();
    let error = harness.publish_key(&good).await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::Denied), "nobody's, but the api was asked");
    assert_eq!(harness.api.asked().len(), asked + 1);
    harness.api.set(authorize(harness.stream));
    let _live = harness.publish_key(&good).await.unwrap();
    harness.stop().await;
}

impl Stranger {
    /// Goes as far as this one goes, and stays until it is dropped.
    async fn stays(self, mut socket: TcpStream) {
        let mut session = ClientSession::new(target("a-wrong-key")).unwrap();
        let answers = match self {
            Self::Silent | Self::SilentUnderTls => 0,
            Self::HalfAHandshake => {
                let _ = socket.write_all(&[3; 100]).await;
                0
            }
            Self::Answers(times) => times,
            Self::Stays => usize::MAX,
        };
        let mut input = BytesMut::new();
        for _ in 0..answers {
            let output = session.output();
            let bytes = output.copy_to_bytes(output.remaining());
            if socket.write_all(&bytes).await.is_err() {
                break;
            }
            while session.output().remaining() == 0 {
                match socket.read_buf(&mut input).await {
                    Ok(0) | Err(_) => return std::future::pending().await,
                    Ok(_) => drop(session.receive(&mut input)),
                }
            }
        }
        std::future::pending::<()>().await;
    }
}

/// A connection from 127.0.0.`host`.
async fn dial(server: SocketAddr, host: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}

const WAITING: usize = 6;
/// Each of them is a connection to the router and one to the api, with both ends in this process: four of the 1,024 open
/// files that a process usually may have.
const CROWD: usize = 100;
