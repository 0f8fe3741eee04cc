//! Workers of this process: they take assignments and say on their feed what a test tells them to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use bytes::Bytes;
use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::feed::{Event, InputState, SegmentAnnounced};
use caudal_livestream::proof::{Proof, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track, TrackMedia, VideoRange};
use caudal_livestream::{
    Epoch, Generation, MediaDuration, MediaTime, Msn, RenditionName, SessionId, StreamId, UnixMillis,
    WorkerId,
};
use ed25519_dalek::SigningKey;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use caudal_controller::{ClaimError, Claimed, Pool, Presence, Start, Workers};

pub(super) fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// Makes a worker whenever one is claimed.
pub(super) struct FakeWorkers {
    workers: watch::Sender<Vec<FakeWorker>>,
    /// Claims wait while this is set.
    scarce: watch::Sender<bool>,
    next_refuses: Arc<Mutex<Option<StatusCode>>>,
}

/// One worker; all clones are one.
#[derive(Clone)]
pub(super) struct FakeWorker {
    address: WorkerAddress,
    state: Arc<WorkerState>,
}

struct WorkerState {
    assignments: watch::Sender<Vec<Assignment>>,
    /// Everything its feed has said; a reader begins at the first.
    feed: watch::Sender<Vec<Bytes>>,
    next_msn: Mutex<Msn>,
    refuse: Option<StatusCode>,
    /// The worker has closed its feed.
    closed: CancellationToken,
    dead: CancellationToken,
    released: watch::Sender<bool>,
}

impl FakeWorkers {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            workers: watch::Sender::new(Vec::new()),
            scarce: watch::Sender::new(false),
            next_refuses: Arc::default(),
        })
    }

    /// The next worker answers its assignment so.
    pub(super) fn next_refuses(&self, status: StatusCode) {
        *self.next_refuses.lock().unwrap() = Some(status);
    }

    pub(super) fn scarce(&self, scarce: bool) {
        self.scarce.send_replace(scarce);
    }

    pub(super) fn kill_all(&self) {
        for worker in self.workers.borrow().iter() {
            worker.kill();
        }
    }

    /// How many were ever claimed.
    pub(super) fn claimed(&self) -> usize {
        self.workers.borrow().len()
    }

    /// The worker that took this assignment.
    pub(super) async fn assigned(&self, stream: StreamId, epoch: Epoch, mode: AssignmentMode) -> FakeWorker {
        let wanted = |a: &Assignment| a.stream == stream && a.epoch == epoch && a.mode == mode;
        let found = async {
            let mut known = self.workers.subscribe();
            loop {
                let workers = known.borrow_and_update().clone();
                let mut taken: futures::stream::FuturesUnordered<_> = workers
                    .iter()
                    .map(|worker| async move {
                        let mut assignments = worker.state.assignments.subscribe();
                        assignments.wait_for(|all| all.iter().any(wanted)).await.unwrap();
                        worker.clone()
                    })
                    .collect();
                tokio::select! {
                    Some(worker) = taken.next() => return worker,
                    changed = known.changed() => changed.unwrap(),
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no worker has epoch {epoch} as {mode:?}"))
    }

    fn find(&self, worker: WorkerId) -> Option<FakeWorker> {
        self.workers.borrow().iter().find(|known| known.address.worker == worker).cloned()
    }
}

impl Workers for FakeWorkers {
    fn claim(
        &self,
        _stream: StreamId,
        _epoch: Epoch,
        _pool: &Pool,
    ) -> BoxFuture<'static, Result<Claimed, ClaimError>> {
        let mut scarce = self.scarce.subscribe();
        let workers = self.workers.clone();
        let refuses = Arc::clone(&self.next_refuses);
        Box::pin(async move {
            scarce.wait_for(|scarce| !scarce).await.unwrap();
            let refuse = refuses.lock().unwrap().take();
            let worker = FakeWorker::start(refuse).await;
            let address = worker.address;
            workers.send_modify(|all| all.push(worker));
            Ok(Claimed { worker: address, start: Start::Warm })
        })
    }

    fn exited(&self, worker: WorkerId) -> BoxFuture<'static, Presence> {
        let worker = self.find(worker);
        Box::pin(async move {
            if let Some(worker) = worker {
                worker.state.dead.cancelled().await;
            }
            Presence::Gone
        })
    }

    fn release(&self, worker: WorkerId) -> BoxFuture<'static, Presence> {
        let worker = self.find(worker);
        Box::pin(async move {
            if let Some(worker) = worker {
                worker.kill();
                worker.state.released.send_replace(true);
            }
            Presence::Gone
        })
    }

    fn withdraw_claim(&self, _stream: StreamId, _epoch: Epoch) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn withdraw(&self, _stream: StreamId) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl FakeWorker {
    async fn start(refuse: Option<StatusCode>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let rtmp = SocketAddr::from(([127, 0, 0, 1], 1));
        let dead = CancellationToken::new();
        let state = Arc::new(WorkerState {
            assignments: watch::Sender::new(Vec::new()),
            feed: watch::Sender::new(Vec::new()),
            next_msn: Mutex::new(Msn(7)),
            refuse,
            closed: CancellationToken::new(),
            dead: dead.clone(),
            released: watch::Sender::new(false),
        });
        let router = Router::new()
            .route("/assignment", put(assign))
            .route("/feed", get(feed))
            .with_state(Arc::clone(&state));
        // Ends with `dead`, and every fake is killed or released by its test's end; connections break with it.
        tokio::spawn(async move {
            let serve = axum::serve(listener, router);
            tokio::select! {
                served = async { serve.await } => served.unwrap(),
                () = dead.cancelled() => {}
            }
        });
        Self { address: WorkerAddress { worker: WorkerId::generate(), rtmp, http }, state }
    }

    pub(super) fn address(&self) -> WorkerAddress {
        self.address
    }

    /// Ends by itself.
    pub(super) fn close(&self) {
        self.state.closed.cancel();
        self.kill();
    }

    pub(super) fn kill(&self) {
        self.state.dead.cancel();
    }

    pub(super) fn assignments(&self) -> Vec<Assignment> {
        self.state.assignments.borrow().clone()
    }

    pub(super) async fn until_told(&self, mode: AssignmentMode) {
        let mut assignments = self.state.assignments.subscribe();
        let told = assignments.wait_for(|all| all.iter().any(|a| a.mode == mode));
        timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("never told to {mode:?}")).unwrap();
    }

    pub(super) async fn until_released(&self) {
        let mut released = self.state.released.subscribe();
        timeout(PATIENCE, released.wait_for(|released| *released)).await.expect("never released").unwrap();
    }

    pub(super) fn publisher_up(&self, generation: Generation) {
        self.input(InputState {
            generation,
            up: true,
            session: Some(SessionId::generate()),
            ..InputState::default()
        });
    }

    pub(super) fn publisher_gone(&self, generation: Generation, explicit: bool) {
        let session = Some(SessionId::generate());
        self.input(InputState { generation, explicit, session, ..InputState::default() });
    }

    /// The router has moved it to another worker.
    pub(super) fn publisher_moved(&self, generation: Generation) {
        let session = Some(SessionId::generate());
        self.input(InputState { generation, session, moved: true, ..InputState::default() });
    }

    /// Media of it comes.
    pub(super) fn publisher_heard(&self, generation: Generation) {
        let session = Some(SessionId::generate());
        self.input(InputState {
            generation,
            session,
            up: true,
            silent_ms: Some(0),
            seam_lost_ms: Some(40),
            ..InputState::default()
        });
    }

    fn input(&self, state: InputState) {
        self.say(&Event::Input(state));
    }

    /// Two seconds more of media, whole.
    pub(super) fn announce_segment(&self) {
        let assignment = self.state.assignments.borrow().last().cloned().expect("not assigned yet");
        let mut next = self.state.next_msn.lock().unwrap();
        if self.state.feed.borrow().iter().all(|frame| frame[4] != SNAPSHOT) {
            if let Some(floor) = assignment.floor {
                *next = floor.msn.next();
            }
            self.say(&Event::Snapshot(Box::new(timeline(assignment.stream, assignment.epoch))));
        }
        self.say(&Event::Segment(SegmentAnnounced {
            rendition: source(),
            segment: segment(*next, assignment.epoch),
            window_start: Msn(0),
            peak_bandwidth: 1,
            average_bandwidth: 1,
        }));
        *next = next.next();
    }

    pub(super) fn end_feed(&self) {
        self.say(&Event::End);
    }

    fn say(&self, event: &Event) {
        self.state.feed.send_modify(|said| said.push(event.encode()));
    }
}

async fn assign(
    State(worker): State<Arc<WorkerState>>,
    axum::Json(signed): axum::Json<SignedAssignment>,
) -> StatusCode {
    if let Some(status) = worker.refuse {
        return status;
    }
    let assignment = signed.verify(&signing_key().verifying_key()).unwrap();
    worker.assignments.send_modify(|all| all.push(assignment));
    StatusCode::NO_CONTENT
}

async fn feed(State(worker): State<Arc<WorkerState>>, headers: HeaderMap) -> Response {
    let shown =
        headers.get("authorization").and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    let proof = Proof::from_peer(shown.unwrap_or_default());
    if !worker.assignments.borrow().last().is_some_and(|a| a.knows_reader(&proof)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let end = Event::End.encode();
    let frames = stream::unfold(Some((worker.feed.subscribe(), 0)), move |reader| {
        let end = end.clone();
        let (closed, dead) = (worker.closed.clone(), worker.dead.clone());
        async move {
            let (mut said, read) = reader?;
            let killed = async {
                dead.cancelled().await;
                tokio::time::sleep(WRITTEN_WITHIN).await;
            };
            let frame = tokio::select! {
                // What was said before a death has left the process.
                biased;
                said = said.wait_for(|said| said.len() > read) => Some(said.unwrap()[read].clone()),
                () = closed.cancelled() => return None,
                () = killed => return Some((Err(std::io::Error::other("killed")), None)),
                () = tokio::time::sleep(Duration::from_secs(1)) => None,
            };
            let Some(frame) = frame else { return Some((Ok(Event::Heartbeat.encode()), Some((said, read)))) };
            let next = (frame != end).then_some((said, read + 1));
            Some((Ok::<_, std::io::Error>(frame), next))
        }
    });
    Body::from_stream(frames).into_response()
}

/// The server writes what it has as soon as nothing else is there, and forgets it at an error.
const WRITTEN_WITHIN: Duration = Duration::from_millis(20);

pub(super) fn timeline(stream: StreamId, epoch: Epoch) -> Timeline {
    Timeline {
        stream,
        epoch,
        target_duration: 2,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(7),
        tracks: vec![Track {
            name: source(),
            media: TrackMedia::Video {
                width: 16,
                height: 16,
                frame_rate_milli: 30_000,
                range: VideoRange::Sdr,
            },
            codecs: "avc1.64001f".to_owned(),
            peak_bandwidth: 1,
            average_bandwidth: 1,
            part_target: MediaDuration::from_millis(200),
            segments: [].into(),
            withdrawn: false,
        }],
        captions: Vec::new(),
        ended: false,
    }
}

fn segment(msn: Msn, epoch: Epoch) -> Segment {
    Segment {
        msn,
        epoch,
        start: MediaTime(i64::try_from(msn.0).unwrap() * 2_000_000),
        duration: MediaDuration::from_secs(2),
        discontinuity: 0,
        program_date_time: UnixMillis(0),
        init: None,
        phase: SegmentPhase::Finished,
        gap: false,
        independent: true,
        lead_in: false,
        size: 1,
        parts: Vec::new(),
    }
}

fn source() -> RenditionName {
    "source".parse().unwrap()
}

/// The feed's frame type of a snapshot.
const SNAPSHOT: u8 = 1;
