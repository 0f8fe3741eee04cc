//! The controller's side: its directory as routes for the roles beside it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use bytes::Bytes;
use caudal_livestream::StreamId;
use caudal_livestream::record::LiveStream;
use caudal_service::internal::{InternalListener, Verifier, listener_of, require_signature};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::controller_clock::millis;
use super::wire::{self, Answer, Line, Mark, Moment, Outcome};
use crate::{OpenError, ReconnectError, StreamControl, StreamDirectory, Streams, Unavailable};

/// What routes show and command.
struct Served {
    directory: Arc<dyn StreamDirectory>,
    control: Arc<dyn StreamControl>,
    versions: Versions,
    /// How long a reader hears nothing at most.
    heartbeat: Duration,
    stop: CancellationToken,
}

/// A controller's directory for [`crate::RemoteDirectory`]s: signed requests, each of the `callers` to what is its own. All of
/// `ingest-router`, `hls-edge` and `api` see all streams; the first opens them and reports of them, the last ends them. Open
/// answers end with `stop`.
pub fn directory_routes(
    directory: Arc<dyn StreamDirectory>,
    control: Arc<dyn StreamControl>,
    callers: &Verifier,
    stop: CancellationToken,
) -> Router {
    routes(Served::new(directory, control, stop), callers)
}

fn routes(served: Served, callers: &Verifier) -> Router {
    let served = Arc::new(served);
    let signed_by =
        |names: &[&str]| middleware::from_fn_with_state(Arc::new(callers.only(names)), require_signature);
    let commands_of_router = Router::new()
        .route(wire::OPEN, post(open))
        .route(wire::RECONNECT, post(reconnect))
        .route(wire::WORKER_UNREACHABLE, post(worker_unreachable))
        .route(wire::REPORT_MEDIA, post(report_media))
        .route(wire::MEDIA_REFUSED, post(media_refused))
        .layer(signed_by(&["ingest-router"]));
    let commands_of_api = Router::new()
        .route(wire::END, post(end))
        .route(wire::DROP_PUBLISHER, post(drop_publisher))
        .route(wire::REVOKE_KEY, post(revoke_key))
        .layer(signed_by(&["api"]));
    let for_all = Router::new().route(wire::WATCH, get(watch_all)).layer(signed_by(&[
        "ingest-router",
        "hls-edge",
        "api",
    ]));
    listener_of(
        InternalListener::Controller,
        commands_of_router.merge(commands_of_api).merge(for_all).with_state(served),
    )
}

/// Idempotent: a router that did not hear the answer gets the same one again, unless the stream was ended meanwhile. One that
/// was ended before it was opened bears the session that would have opened it.
async fn open(
    State(served): State<Arc<Served>>,
    Json(wire::Open { spec, by }): Json<wire::Open>,
) -> Response {
    if served.is_past(by) {
        return served.answer(too_late());
    }
    let session = spec.ingest.session;
    served.answer(match served.directory.open(spec).await {
        Ok(record) => Outcome::Record { record: boxed(&record) },
        Err(OpenError::Exists(record)) if record.spec.ingest.session == session && record.is_open() => {
            Outcome::Record { record: boxed(&record) }
        }
        Err(OpenError::Exists(record)) => Outcome::Exists { record: boxed(&record) },
        // Only Kubernetes has pools, and it is not served this way.
        Err(OpenError::NoCapacity | OpenError::NoPool(_)) => Outcome::NoCapacity,
        Err(OpenError::Unavailable(Unavailable(reason))) => Outcome::Unavailable { reason },
    })
}

/// Idempotent, in the same way.
async fn reconnect(
    State(served): State<Arc<Served>>,
    Json(wire::Reconnect { stream, ingest, by }): Json<wire::Reconnect>,
) -> Response {
    if served.is_past(by) {
        return served.answer(too_late());
    }
    let session = ingest.session;
    served.answer(match served.directory.reconnect(stream, ingest).await {
        Ok(record) => Outcome::Record { record: boxed(&record) },
        Err(ReconnectError::Stale(generation)) => match served.directory.get(stream) {
            Some(record) if record.spec.ingest.session == session => {
                Outcome::Record { record: boxed(&record) }
            }
            _ => Outcome::Stale { generation },
        },
        Err(ReconnectError::Over(phase)) => Outcome::Over { phase },
        Err(ReconnectError::Unknown) => Outcome::Unknown,
        Err(ReconnectError::Unavailable(Unavailable(reason))) => Outcome::Unavailable { reason },
    })
}

async fn worker_unreachable(
    State(served): State<Arc<Served>>,
    Json(wire::WorkerUnreachable { stream, failures }): Json<wire::WorkerUnreachable>,
) -> Response {
    let taken = served.directory.worker_unreachable(stream, failures).await;
    served.answer(reported(taken))
}

async fn report_media(
    State(served): State<Arc<Served>>,
    Json(wire::ReportMedia { stream, session, media }): Json<wire::ReportMedia>,
) -> Response {
    let taken = served.directory.report_media(stream, session, media).await;
    served.answer(reported(taken))
}

async fn media_refused(
    State(served): State<Arc<Served>>,
    Json(wire::MediaRefused { stream, session, words }): Json<wire::MediaRefused>,
) -> Response {
    let taken = served.directory.media_refused(stream, session, words).await;
    served.answer(reported(taken))
}

async fn end(
    State(served): State<Arc<Served>>,
    Json(wire::End { stream, reason }): Json<wire::End>,
) -> Response {
    let ended = served.control.end(stream, reason).await;
    served.answer(done(ended))
}

async fn drop_publisher(
    State(served): State<Arc<Served>>,
    Json(wire::DropPublisher { stream, reason }): Json<wire::DropPublisher>,
) -> Response {
    let dropped = served.control.drop_publisher(stream, reason).await;
    served.answer(done(dropped))
}

async fn revoke_key(
    State(served): State<Arc<Served>>,
    Json(wire::RevokeKey { stream }): Json<wire::RevokeKey>,
) -> Response {
    let revoked = served.control.revoke_key(stream).await;
    served.answer(done(revoked))
}

async fn watch_all(State(served): State<Arc<Served>>) -> Response {
    let reader = Reader::new(Arc::clone(&served));
    let body = futures::stream::unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Some((Ok::<_, Infallible>(piece), reader))
    });
    ([(header::CONTENT_TYPE, wire::LINES)], Body::from_stream(body)).into_response()
}

impl Served {
    fn new(
        directory: Arc<dyn StreamDirectory>,
        control: Arc<dyn StreamControl>,
        stop: CancellationToken,
    ) -> Self {
        let versions = Versions::new(directory.watch());
        Self { directory, control, versions, heartbeat: HEARTBEAT, stop }
    }

    fn answer(&self, outcome: Outcome) -> Response {
        Json(Answer { mark: self.versions.now().1, outcome }).into_response()
    }

    /// Whether whoever sent a command waits for its answer no longer: this process may have been stopped since it came.
    fn is_past(&self, by: Option<Moment>) -> bool {
        by.is_some_and(|by| by.run == self.versions.run && by.ms < self.versions.now_ms())
    }
}

fn boxed(record: &Arc<LiveStream>) -> Box<LiveStream> {
    Box::new(LiveStream::clone(record))
}

fn too_late() -> Outcome {
    Outcome::Unavailable { reason: "its answer would have come too late".to_owned() }
}

fn reported(taken: bool) -> Outcome {
    if taken {
        Outcome::Done
    } else {
        Outcome::Unavailable { reason: "the directory could not take it".to_owned() }
    }
}

fn done(done: Result<(), Unavailable>) -> Outcome {
    match done {
        Ok(()) => Outcome::Done,
        Err(Unavailable(reason)) => Outcome::Unavailable { reason },
    }
}

/// Numbers the versions of the directory that anybody has seen.
struct Versions {
    run: Uuid,
    began: Instant,
    streams: watch::Receiver<Streams>,
    // Held for a comparison only, never across an await.
    last: Mutex<(Streams, u64)>,
}

impl Versions {
    fn new(streams: watch::Receiver<Streams>) -> Self {
        let now = streams.borrow().clone();
        Self { run: Uuid::new_v4(), began: Instant::now(), streams, last: Mutex::new((now, 1)) }
    }

    /// Since this process began: a clock that nobody sets.
    fn now_ms(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// The directory as it is now, and its mark.
    fn now(&self) -> (Streams, Mark) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: a later mark never belongs to an earlier map.
        let now = self.streams.borrow().clone();
        if !last.0.ptr_eq(&now) {
            *last = (now, last.1.saturating_add(1));
        }
        (last.0.clone(), Mark { run: self.run, revision: last.1 })
    }
}

/// One role that reads all changes. It is asked for the next piece only when its connection has room for one, so a slow
/// reader costs a list of what it has not been sent, skips what has changed again meanwhile, and is disconnected by the
/// listener ([`caudal_service::http::HttpLimits::read_deadline`]), whose sockets a silent directory fills too
/// ([`HEARTBEAT_BYTES`]).
struct Reader {
    served: Arc<Served>,
    changes: watch::Receiver<Streams>,
    sent: Streams,
    mark: Mark,
    pending: VecDeque<(StreamId, Option<Arc<LiveStream>>)>,
    /// Changes have been sent whose mark has not.
    incomplete: bool,
}

impl Reader {
    fn new(served: Arc<Served>) -> Self {
        let changes = served.directory.watch();
        let mut reader = Self {
            served,
            changes,
            sent: Streams::default(),
            mark: Mark { run: Uuid::nil(), revision: 0 },
            pending: VecDeque::new(),
            incomplete: true,
        };
        reader.look();
        reader
    }

    /// Finds what has changed since the last look.
    fn look(&mut self) {
        self.changes.mark_unchanged();
        let (now, mark) = self.served.versions.now();
        let changed = now.changed_since(&self.sent);
        self.pending = changed.map(|stream| (stream, now.get(&stream).cloned())).collect();
        self.sent = now;
        self.incomplete |= self.mark != mark;
        self.mark = mark;
    }

    /// The next piece of the answer; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let stop = self.served.stop.clone();
        let mut least = 0;
        if self.pending.is_empty() && !self.incomplete {
            let changed =
                stop.run_until_cancelled(timeout(self.served.heartbeat, self.changes.changed())).await?;
            match changed {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => least = HEARTBEAT_BYTES,
            }
            self.look();
            self.incomplete = true;
        }
        if stop.is_cancelled() {
            return None;
        }
        let mut piece = Vec::new();
        while piece.len() < PIECE
            && let Some((stream, record)) = self.pending.pop_front()
        {
            write(
                &mut piece,
                &record.as_deref().map_or(Line::Removed { stream }, |record| Line::Record { stream, record }),
            );
        }
        if self.pending.is_empty() {
            // Blanks before a line say nothing.
            piece.resize(piece.len().max(least), b' ');
            write(&mut piece, &Line::Whole { mark: self.mark, now_ms: self.served.versions.now_ms() });
            self.incomplete = false;
        }
        Some(piece.into())
    }
}

fn write(piece: &mut Vec<u8>, line: &Line<'_>) {
    let before = piece.len();
    // Structs of numbers and words: this cannot fail.
    if serde_json::to_writer(&mut *piece, line).is_ok() {
        piece.push(b'\n');
    } else {
        piece.truncate(before);
    }
}

/// So that a reader knows a controller that is gone from one that has nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A reader that never reads holds its connection until its socket's buffer is full, which is 64 KiB and more: with a line
/// a second alone that takes an hour, with this less than a minute.
const HEARTBEAT_BYTES: usize = 4 * 1024;
/// About 40 records.
const PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use caudal_service::http::{HttpLimits, HttpServer};
    use caudal_service::internal::{SIGNATURE_HEADER, Signer};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::sleep;

    use super::*;
    use crate::remote::tests::{Controller, callers, key, stream_of};

    fn reader_of(controller: &Arc<Controller>) -> Reader {
        Reader::new(Arc::new(Served::new(controller.clone(), controller.clone(), CancellationToken::new())))
    }

    async fn next(reader: &mut Reader) -> Vec<serde_json::Value> {
        let piece = reader.next().await.unwrap();
        let lines = piece.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_reader_that_was_slow_is_sent_what_has_changed_once_and_as_it_is_now() {
        let (mut busy, idle, brief) = (stream_of("busy"), stream_of("idle"), stream_of("brief"));
        let controller = Arc::new(Controller::with(&[&busy, &idle]));
        let mut reader = reader_of(&controller);
        let first = next(&mut reader).await;
        assert_eq!(first.len(), 3);
        for times in 1..=1000 {
            busy.status.epoch.0 = times;
            controller.show(&busy);
        }
        controller.show(&brief);
        controller.forget(brief.spec.stream);
        let lines = next(&mut reader).await;
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0]["record"]["status"]["epoch"], 1000);
        assert_eq!(lines[1]["kind"], "whole");
        assert!(lines[1]["mark"]["revision"].as_u64() > first[2]["mark"]["revision"].as_u64());
    }

    #[tokio::test(start_paused = true)]
    async fn a_controller_with_nothing_new_says_each_second_that_it_is_there() {
        let controller = Arc::new(Controller::default());
        let mut reader = reader_of(&controller);
        let first = next(&mut reader).await;
        let began = tokio::time::Instant::now();
        let mut second = next(&mut reader).await;
        assert_eq!(began.elapsed(), HEARTBEAT);
        assert_eq!((&first[0]["nowMs"], &second[0]["nowMs"]), (&0.into(), &1000.into()));
        second[0]["nowMs"] = 0.into();
        assert_eq!(second, first);
        reader.served.stop.cancel();
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_reader_that_never_reads_is_disconnected_though_nothing_changes() {
        let (controller, stop) = (Arc::new(Controller::default()), CancellationToken::new());
        let mut served = Served::new(controller.clone(), controller.clone(), stop.clone());
        // Fifty times as fast as it is: what takes a minute takes a second.
        served.heartbeat = HEARTBEAT / 50;
        let limits = HttpLimits { read_deadline: Duration::from_millis(600), ..HttpLimits::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = HttpServer::new(listener, limits).serve(routes(served, &callers()), stop.clone());
        let serving = tokio::spawn(server);
        let nobody = controller.followers();
        let mut peer = TcpStream::connect(address).await.unwrap();
        let signer = Signer::new("hls-edge", key("hls-edge"));
        let signature = signer.sign("GET", wire::WATCH, b"", SystemTime::now());
        let ask =
            format!("GET {} HTTP/1.1\r\nhost: a\r\n{SIGNATURE_HEADER}: {signature}\r\n\r\n", wire::WATCH);
        peer.write_all(ask.as_bytes()).await.unwrap();
        for follows in [true, false] {
            let so = async {
                while (controller.followers() > nobody) != follows {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(Duration::from_secs(6), so)
                .await
                .expect("a minute of the real heartbeat, five times over");
        }
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
