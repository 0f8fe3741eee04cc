//! A controller and the roles beside it, over real connections.

mod commands;
mod silence;

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use caudal_controller::Excuses;
use caudal_livestream::fixtures::{ingest, record};
use caudal_livestream::record::{
    DesiredState, Ingest, LiveStream, MediaInfo, Phase, RelayFailures, Spec, Status,
};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, Generation, SessionId, StreamId, UnixMillis};
use caudal_service::http::{HttpLimits, HttpServer};
use caudal_service::internal::{
    CallerKey, InternalListener, Signer, Verifier, listener_of, require_signature,
};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{COMMAND_DEADLINE, Lost, Obstacle, RemoteDirectory, controller_clock, directory_routes, wire};
use crate::{OpenError, ReconnectError, StreamControl, StreamDirectory, Streams, Unavailable};

/// A stream that has just been opened, with a first publisher.
pub(super) fn stream_of(channel: &str) -> LiveStream {
    let mut record = record();
    channel.clone_into(&mut record.spec.channel);
    record
}

/// A directory that does what it is told, and notes it.
#[derive(Default)]
pub(super) struct Controller {
    streams: watch::Sender<Streams>,
    heard: Mutex<Vec<String>>,
    /// Streams that were ended before anybody opened them.
    ended: HashSet<StreamId>,
    full: bool,
    silent: bool,
    /// It takes nothing that routers report.
    refusing: bool,
}

impl Controller {
    pub(super) fn with(streams: &[&LiveStream]) -> Self {
        let controller = Self::default();
        for stream in streams {
            controller.show(stream);
        }
        controller
    }

    pub(super) fn show(&self, stream: &LiveStream) {
        self.streams.send_modify(|streams| {
            streams.insert(Arc::new(stream.clone()));
        });
    }

    pub(super) fn forget(&self, stream: StreamId) {
        self.streams.send_modify(|streams| {
            streams.remove(&stream);
        });
    }

    /// Who follows the streams.
    pub(super) fn followers(&self) -> usize {
        self.streams.receiver_count()
    }

    fn note(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }

    fn order(&self, what: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.note(what);
        Box::pin(ready(if self.silent { Err(Unavailable("no answer".to_owned())) } else { Ok(()) }))
    }

    fn answer_open(&self, mut spec: Spec) -> Result<Arc<LiveStream>, OpenError> {
        if self.silent {
            return Err(Unavailable("no answer".to_owned()).into());
        }
        if let Some(known) = self.get(spec.stream) {
            return Err(OpenError::Exists(known));
        }
        if self.ended.contains(&spec.stream) {
            spec.desired_state = DesiredState::Ended;
            let status = Status { phase: Phase::Ended, ..Status::default() };
            return Err(OpenError::Exists(Arc::new(LiveStream { spec, status })));
        }
        if self.full {
            return Err(OpenError::NoCapacity);
        }
        let record = LiveStream { spec, status: Status::default() };
        self.show(&record);
        Ok(Arc::new(record))
    }

    fn answer_reconnect(&self, stream: StreamId, ingest: Ingest) -> Result<Arc<LiveStream>, ReconnectError> {
        let known = self.get(stream).ok_or(ReconnectError::Unknown)?;
        if known.status.phase.is_over() {
            return Err(ReconnectError::Over(known.status.phase));
        }
        if known.spec.ingest.generation.next() != ingest.generation {
            return Err(ReconnectError::Stale(known.spec.ingest.generation));
        }
        let mut record = LiveStream::clone(&known);
        record.spec.ingest = ingest;
        self.show(&record);
        Ok(Arc::new(record))
    }
}

impl StreamDirectory for Controller {
    fn open(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<LiveStream>, OpenError>> {
        Box::pin(ready(self.answer_open(spec)))
    }

    fn reconnect(
        &self,
        stream: StreamId,
        ingest: Ingest,
    ) -> BoxFuture<'_, Result<Arc<LiveStream>, ReconnectError>> {
        Box::pin(ready(self.answer_reconnect(stream, ingest)))
    }

    fn worker_unreachable(&self, stream: StreamId, failures: RelayFailures) -> BoxFuture<'_, bool> {
        self.note(format!("unreachable {stream} {} {}", failures.epoch, failures.failures));
        Box::pin(ready(!self.refusing))
    }

    fn report_media(&self, stream: StreamId, _: SessionId, media: MediaInfo) -> BoxFuture<'_, bool> {
        self.note(format!("media {stream} {}", media.bitrate));
        Box::pin(ready(!self.refusing))
    }

    fn media_refused(&self, stream: StreamId, _: SessionId, words: String) -> BoxFuture<'_, bool> {
        self.note(format!("refused {stream} {words}"));
        Box::pin(ready(!self.refusing))
    }

    fn watch(&self) -> watch::Receiver<Streams> {
        self.streams.subscribe()
    }
}

impl StreamControl for Controller {
    fn end(&self, stream: StreamId, reason: EndReason) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.order(format!("end {stream} {reason:?}"))
    }

    fn drop_publisher(&self, stream: StreamId, reason: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.order(format!("drop {stream} {reason}"))
    }

    fn revoke_key(&self, stream: StreamId) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.order(format!("revoke {stream}"))
    }

    fn inspect(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.get(stream)
    }
}

pub(super) fn callers() -> Verifier {
    let names = ["ingest-router", "hls-edge", "api"];
    names.into_iter().fold(Verifier::new(), |callers, name| callers.allow(name, key(name)))
}

pub(super) fn key(caller: &str) -> CallerKey {
    CallerKey::new(format!("{caller:-<32}").into_bytes())
}

/// A controller's listener until it is stopped.
struct Listening {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Listening {
    async fn at(address: &str, controller: &Arc<Controller>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let routes = directory_routes(controller.clone(), controller.clone(), &callers(), stop.clone());
        let server = HttpServer::new(listener, HttpLimits::default());
        let task = tokio::spawn(server.serve(routes, stop.clone()));
        Self { address, stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    fn read_by(&self, caller: &'static str) -> Arc<RemoteDirectory> {
        reader(self.address, caller)
    }
}

fn reader(address: SocketAddr, caller: &'static str) -> Arc<RemoteDirectory> {
    RemoteDirectory::start(format!("http://{address}"), Signer::new(caller, key(caller))).unwrap()
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.expect("in time")
}

/// Waits until the copy shows exactly these streams.
async fn shows(directory: &RemoteDirectory, expected: &[&LiveStream]) {
    let expected: HashMap<_, _> = expected.iter().map(|stream| (stream.spec.stream, *stream)).collect();
    let mut streams = directory.watch();
    let same = |streams: &Streams| {
        streams.len() == expected.len()
            && streams
                .values()
                .all(|stream| expected.get(&stream.spec.stream).is_some_and(|one| **one == **stream))
    };
    within(streams.wait_for(same)).await.unwrap();
}

#[tokio::test]
async fn all_streams_are_shown_and_each_change_of_any_of_them() {
    let (mut a, b) = (stream_of("a"), stream_of("b"));
    let controller = Arc::new(Controller::with(&[&a, &b]));
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let edge = listening.read_by("hls-edge");
    shows(&edge, &[&a, &b]).await;
    within(edge.read_once()).await;
    assert!(edge.is_current());
    a.status.phase = Phase::Live;
    controller.show(&a);
    controller.forget(b.spec.stream);
    shows(&edge, &[&a]).await;
    edge.close().await;
    listening.end().await;
}

#[tokio::test]
async fn more_streams_than_fit_into_a_piece_are_all_shown() {
    let streams: Vec<_> = (0..1000).map(|n| stream_of(&format!("channel{n}"))).collect();
    let streams: Vec<_> = streams.iter().collect();
    let controller = Arc::new(Controller::with(&streams));
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let edge = listening.read_by("hls-edge");
    shows(&edge, &streams).await;
    edge.close().await;
    listening.end().await;
}

#[tokio::test]
async fn who_has_the_answer_to_a_command_finds_its_effect_in_the_copy() {
    let controller = Arc::new(Controller::default());
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let router = listening.read_by("ingest-router");
    within(router.read_once()).await;
    for n in 0..50 {
        let stream = stream_of(&format!("channel{n}"));
        let id = stream.spec.stream;
        let opened = within(router.open(stream.spec)).await.unwrap();
        assert_eq!(router.get(id).unwrap(), opened);
        let next = ingest(2);
        within(router.reconnect(id, next.clone())).await.unwrap();
        assert_eq!(router.get(id).unwrap().spec.ingest, next);
    }
    router.close().await;
    listening.end().await;
}

#[tokio::test]
async fn each_refusal_is_the_same_one_at_the_other_end() {
    let (open, mut over) = (stream_of("open"), stream_of("over"));
    over.status.phase = Phase::Ended;
    let controller = Arc::new(Controller { full: true, ..Controller::with(&[&open, &over]) });
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let router = listening.read_by("ingest-router");
    let mut again = open.spec.clone();
    again.ingest = ingest(1);
    let exists = within(router.open(again)).await.unwrap_err();
    assert!(matches!(exists, OpenError::Exists(known) if *known == open));
    let full = within(router.open(stream_of("new").spec)).await.unwrap_err();
    assert!(matches!(full, OpenError::NoCapacity));
    let stale = within(router.reconnect(open.spec.stream, ingest(7))).await.unwrap_err();
    assert!(matches!(stale, ReconnectError::Stale(Generation(1))));
    let ended = within(router.reconnect(over.spec.stream, ingest(2))).await.unwrap_err();
    assert!(matches!(ended, ReconnectError::Over(Phase::Ended)));
    let unknown = within(router.reconnect(StreamId::generate(), ingest(2))).await.unwrap_err();
    assert!(matches!(unknown, ReconnectError::Unknown));
    router.close().await;
    listening.end().await;

    let controller = Arc::new(Controller { silent: true, ..Controller::default() });
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let (router, api) = (listening.read_by("ingest-router"), listening.read_by("api"));
    let silent = within(router.open(stream_of("new").spec)).await.unwrap_err();
    assert!(matches!(silent, OpenError::Unavailable(Unavailable(reason)) if reason == "no answer"));
    let silent = within(api.end(StreamId::generate(), EndReason::EndedByOwner)).await.unwrap_err();
    assert_eq!(silent.0, "no answer");
    router.close().await;
    api.close().await;
    listening.end().await;
}

async fn why_lost(directory: &RemoteDirectory) -> (Obstacle, String) {
    match within(directory.shared.read(&mut None, &mut Excuses::default())).await {
        Lost::Away(reason) => (Obstacle::Away, reason),
        Lost::Refused(reason) => (Obstacle::Refuses, reason),
        Lost::StoodStill => panic!("this process stood still"),
    }
}

/// Why a role that looks for its controller at `routes` does not find it.
async fn why_not(routes: axum::Router) -> (Obstacle, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let directory = RemoteDirectory::start(url, Signer::new("hls-edge", key("hls-edge"))).unwrap();
    let lost = why_lost(&directory).await;
    directory.close().await;
    serving.abort();
    lost
}

#[tokio::test]
async fn a_wrong_address_a_wrong_secret_and_nobody_are_told_apart() {
    let controller = Arc::new(Controller::default());
    let other =
        |name: &str| CallerKey::new(format!("another secret's key of {name}, which is long").into_bytes());
    let callers = Verifier::new().allow("ingest-router", other("router"));
    let stop = CancellationToken::new();
    let another_secret = directory_routes(controller.clone(), controller, &callers, stop);
    let verifier = Arc::new(Verifier::new());
    let the_api = axum::Router::new().layer(from_fn_with_state(verifier, require_signature));
    let pages = axum::Router::new().fallback(|| async { "<!doctype html>" });
    for (routes, expected) in [
        (another_secret, "CAUDAL_SECRET or CAUDAL_KEYS is another one there"),
        (
            listener_of(InternalListener::Api, the_api),
            "expected that of `caudal controller`, found that of `caudal api`",
        ),
        (pages, "it answered 200 OK, and not as the internal listener of `caudal controller` does"),
        (axum::Router::new(), "it answered 404 Not Found, and not as the internal listener"),
    ] {
        let (obstacle, reason) = why_not(routes).await;
        assert!(reason.contains(expected), "{reason}");
        let is_secret = expected.contains("CAUDAL_SECRET");
        assert_eq!(reason.contains("CAUDAL_SECRET"), is_secret, "{reason}");
        assert_eq!(obstacle == Obstacle::Refuses, is_secret, "{reason}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let directory =
        RemoteDirectory::start(format!("http://{nobody}"), Signer::new("hls-edge", key("hls-edge"))).unwrap();
    let (obstacle, reason) = why_lost(&directory).await;
    assert_eq!(obstacle, Obstacle::Away);
    assert!(reason.starts_with("nobody answers there: Connection refused"), "{reason}");
    directory.close().await;
}

#[tokio::test]
async fn each_command_arrives_as_it_was_given_and_nobody_gives_those_of_others() {
    let controller = Arc::new(Controller::default());
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let [router, edge, api] = ["ingest-router", "hls-edge", "api"].map(|caller| listening.read_by(caller));
    let (stream, session) = (StreamId::generate(), SessionId::generate());
    let failures = RelayFailures { epoch: Epoch(3), session, failures: 2, last_failed_at: UnixMillis(1) };
    assert!(within(router.worker_unreachable(stream, failures)).await);
    let media = MediaInfo { bitrate: 5, ..MediaInfo::default() };
    assert!(within(router.report_media(stream, session, media)).await);
    assert!(within(router.media_refused(stream, session, "no such codec".to_owned())).await);
    within(api.end(stream, EndReason::KeyRotated)).await.unwrap();
    within(api.drop_publisher(stream, "why".to_owned())).await.unwrap();
    within(api.revoke_key(stream)).await.unwrap();
    let expected = [
        format!("unreachable {stream} 3 2"),
        format!("media {stream} 5"),
        format!("refused {stream} no such codec"),
        format!("end {stream} KeyRotated"),
        format!("drop {stream} why"),
        format!("revoke {stream}"),
    ];
    assert_eq!(*controller.heard.lock().unwrap(), expected);
    for others in [&edge, &router] {
        let refused = within(others.end(stream, EndReason::EndedByOwner)).await.unwrap_err();
        assert!(refused.0.contains("signature"), "{refused}");
    }
    for others in [&edge, &api] {
        let refused = within(others.open(stream_of("a").spec)).await.unwrap_err();
        assert!(matches!(refused, OpenError::Unavailable(_)), "{refused}");
    }
    assert_eq!(controller.heard.lock().unwrap().len(), expected.len());
    for reader in [router, edge, api] {
        reader.close().await;
    }
    listening.end().await;
}

#[tokio::test]
async fn a_report_that_the_controller_could_not_take_was_not_taken() {
    let controller = Arc::new(Controller { refusing: true, ..Controller::default() });
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let router = listening.read_by("ingest-router");
    let (stream, session) = (StreamId::generate(), SessionId::generate());
    assert!(!within(router.report_media(stream, session, MediaInfo::default())).await);
    assert!(!within(router.media_refused(stream, session, "no such codec".to_owned())).await);
    router.close().await;
    listening.end().await;
}

#[tokio::test]
async fn a_reader_begins_without_a_controller_and_keeps_its_copy_while_one_is_away() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let edge = reader(unused, "hls-edge");
    assert!(!edge.is_current() && !edge.follows(true).await);
    let (a, b) = (stream_of("a"), stream_of("b"));
    let first = Listening::at(&unused.to_string(), &Arc::new(Controller::with(&[&a]))).await;
    shows(&edge, &[&a]).await;
    assert!(within(edge.follows(false)).await);
    first.end().await;
    assert!(!within(edge.follows(true)).await);
    assert!(!edge.is_current());
    assert_eq!(*edge.get(a.spec.stream).unwrap(), a);
    // The next run of it lost one stream and has another.
    let second = Listening::at(&unused.to_string(), &Arc::new(Controller::with(&[&b]))).await;
    shows(&edge, &[&b]).await;
    assert!(within(edge.follows(false)).await);
    edge.close().await;
    second.end().await;
}
