//! All workers. Each has an address of its own, as pods do; one listener is at all of them, and tells them apart by the address that was
//! asked for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::{Event, InputState};
use caudal_livestream::proof::Proof;
use caudal_livestream::{MediaTime, Msn, WorkerId};
use serde::Deserialize;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::broadcasts::{Broadcast, Broadcasts};

/// The workers of all pods that run.
pub(crate) struct Workers {
    broadcasts: Arc<Broadcasts>,
    /// Between two parts; none where no parts are announced.
    parts: Option<Duration>,
    // Held for map operations only.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_address: HashMap<Ipv4Addr, Standin>,
    addresses: HashMap<WorkerId, Ipv4Addr>,
    given: u16,
}

/// One worker.
#[derive(Clone)]
struct Standin {
    worker: WorkerId,
    assignment: Option<Arc<Assignment>>,
    /// It was told to finish, or its pod was deleted.
    ended: CancellationToken,
}

/// The same as a worker reads, whose keys these stand-ins have not.
#[derive(Deserialize)]
struct Signed {
    payload: String,
}

/// At every address of the loopback device, and no other: pods' HTTP port is the same everywhere.
pub(crate) fn listen() -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(b"lo"))?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, HTTP_PORT));
    socket.bind(&address.into()).with_context(|| format!("port {HTTP_PORT}, where workers listen"))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Workers {
    pub(crate) fn new(broadcasts: Arc<Broadcasts>, parts: Duration) -> Arc<Self> {
        let parts = (!parts.is_zero()).then_some(parts);
        Arc::new(Self { broadcasts, parts, table: Mutex::default() })
    }

    /// A new worker's address; none when it is known already.
    pub(crate) fn add(&self, worker: WorkerId) -> Option<Ipv4Addr> {
        let mut table = self.table();
        if table.addresses.contains_key(&worker) {
            return None;
        }
        table.given = table.given.wrapping_add(1);
        let [high, low] = table.given.to_be_bytes();
        let address = Ipv4Addr::new(127, 77, high, low);
        let standin = Standin { worker, assignment: None, ended: CancellationToken::new() };
        table.by_address.insert(address, standin);
        table.addresses.insert(worker, address);
        Some(address)
    }

    /// Ends a worker's process; false when it has ended already.
    pub(crate) fn remove(&self, worker: WorkerId) -> bool {
        let mut table = self.table();
        let Some(address) = table.addresses.remove(&worker) else { return false };
        if let Some(standin) = table.by_address.remove(&address) {
            standin.ended.cancel();
        }
        true
    }

    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) -> anyhow::Result<()> {
        let routes =
            Router::new().route("/assignment", put(assign)).route("/feed", get(feed)).with_state(self);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(axum::serve(listener, routes).await?)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn assign(
    State(workers): State<Arc<Workers>>,
    headers: HeaderMap,
    Json(signed): Json<Signed>,
) -> StatusCode {
    let read = BASE64.decode(signed.payload).ok();
    let Some(assignment) = read.and_then(|json| serde_json::from_slice::<Assignment>(&json).ok()) else {
        return StatusCode::BAD_REQUEST;
    };
    let stream = assignment.stream;
    {
        let mut table = workers.table();
        let asked = address(&headers).and_then(|address| table.by_address.get_mut(&address));
        let Some(standin) = asked else { return StatusCode::NOT_FOUND };
        if assignment.worker != standin.worker {
            return StatusCode::FORBIDDEN;
        }
        let other = standin
            .assignment
            .as_ref()
            .is_some_and(|had| had.stream != assignment.stream || had.epoch > assignment.epoch);
        if other {
            return StatusCode::CONFLICT;
        }
        if assignment.mode == AssignmentMode::Finish {
            standin.ended.cancel();
        }
        standin.assignment = Some(Arc::new(assignment));
    }
    if let Some(broadcast) = workers.broadcasts.get(stream) {
        broadcast.is_assigned();
    }
    StatusCode::NO_CONTENT
}

async fn feed(State(workers): State<Arc<Workers>>, headers: HeaderMap) -> Response {
    let standin = address(&headers).and_then(|address| workers.table().by_address.get(&address).cloned());
    let Some(Standin { assignment: Some(assignment), ended, .. }) = standin else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let proof = shown.and_then(|shown| shown.strip_prefix("Bearer ")).map(Proof::from_peer);
    if !proof.is_some_and(|proof| assignment.knows_reader(&proof)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(broadcast) = workers.broadcasts.get(assignment.stream) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let words = Words::new(broadcast, assignment, ended, workers.parts);
    let frames = futures::stream::unfold(words, |mut words| async move {
        let said = words.next().await?;
        Some((Ok::<_, Infallible>(said), words))
    });
    Body::from_stream(frames).into_response()
}

fn address(headers: &HeaderMap) -> Option<Ipv4Addr> {
    let host = headers.get(HOST)?.to_str().ok()?;
    host.rsplit_once(':').map_or(host, |(address, _)| address).parse().ok()
}

/// What a worker says on its control feed.
struct Words {
    broadcast: Arc<Broadcast>,
    assignment: Arc<Assignment>,
    ended: CancellationToken,
    parts: Option<Duration>,
    stage: Saying,
    heartbeat: Instant,
    part: Option<Instant>,
    segment: Instant,
    floor: Floor,
}

#[derive(PartialEq, Eq)]
enum Saying {
    /// That nobody publishes yet.
    Empty,
    /// Nothing but heartbeats, until a router has come.
    Waiting,
    /// The first part.
    First,
    Going,
    Closed,
}

impl Words {
    fn new(
        broadcast: Arc<Broadcast>,
        assignment: Arc<Assignment>,
        ended: CancellationToken,
        parts: Option<Duration>,
    ) -> Self {
        let now = Instant::now();
        // The first media's (ARCHITECTURE §5), and a part of it.
        let epoch = Some(assignment.epoch);
        let floor = Floor { msn: Msn(7), discontinuity: 0, media_end: MediaTime(FIRST_MEDIA), epoch };
        let stage = Saying::Empty;
        Self { broadcast, assignment, ended, parts, stage, heartbeat: now, part: None, segment: now, floor }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let event = match self.stage {
            Saying::Closed => return None,
            Saying::Empty => {
                self.stage = Saying::Waiting;
                self.heartbeat = Instant::now() + HEARTBEAT;
                Event::Input(self.input(false))
            }
            Saying::Waiting => {
                tokio::select! {
                    () = self.ended.cancelled() => self.close(),
                    () = self.broadcast.relayed() => {
                        self.stage = Saying::First;
                        Event::Input(self.input(true))
                    }
                    () = sleep_until(self.heartbeat) => self.beat(),
                }
            }
            Saying::First => {
                self.stage = Saying::Going;
                let now = Instant::now();
                self.segment = now + SEGMENT;
                self.part = self.parts.map(|parts| now + parts);
                Event::Floor(self.floor)
            }
            Saying::Going => {
                let part = self.part.unwrap_or(self.segment).min(self.segment);
                tokio::select! {
                    () = self.ended.cancelled() => self.close(),
                    () = sleep_until(part.min(self.heartbeat)) => {
                        if self.heartbeat <= part { self.beat() } else { self.announce() }
                    }
                }
            }
        };
        Some(event.encode())
    }

    fn announce(&mut self) -> Event {
        let step = self.parts.unwrap_or(SEGMENT);
        if let Some(part) = &mut self.part {
            *part += step;
        }
        let ticks = i64::try_from(step.as_micros()).unwrap_or_default();
        self.floor.media_end = MediaTime(self.floor.media_end.0.saturating_add(ticks));
        let is_whole = self.part.is_none_or(|part| self.segment <= part);
        if !is_whole {
            return Event::Reached(self.floor);
        }
        self.segment += SEGMENT;
        let whole = self.floor;
        self.floor.msn = Msn(self.floor.msn.0.saturating_add(1));
        Event::Floor(whole)
    }

    fn beat(&mut self) -> Event {
        self.heartbeat += HEARTBEAT;
        Event::Heartbeat
    }

    fn close(&mut self) -> Event {
        self.stage = Saying::Closed;
        Event::End
    }

    fn input(&self, up: bool) -> InputState {
        InputState {
            session: up.then_some(self.broadcast.session),
            generation: self.assignment.generation,
            up,
            silent_ms: up.then_some(0),
            ..InputState::default()
        }
    }
}

/// As pods of the operator have it.
const HTTP_PORT: u16 = 8080;
/// A thousand are assigned at once.
const BACKLOG: i32 = 4096;
const HEARTBEAT: Duration = Duration::from_secs(1);
const SEGMENT: Duration = Duration::from_secs(2);
/// 24 s, in microseconds.
const FIRST_MEDIA: i64 = 24_000_000;
